/** One chart in a panel, with a legend that shows each line's last value. */
import { Box, Group, Text } from "@mantine/core";
import { memo, useCallback, useMemo, useSyncExternalStore } from "react";
import { Panel } from "@/components/panel";
import { formatNumber } from "@/lib/format";
import type { MetricStore } from "@/lib/live/metric-store";
import { positionsOf, type AxisSource } from "./axis";
import { LineChart } from "./line-chart";
import type { ChangeChartSettings, ChartSettings } from "./use-chart-settings";

export interface ChartLine {
  /** Unique within its chart. */
  id: string;
  label: string;
  color: string;
  key: string;
  rank: number;
  store: MetricStore;
  source: () => AxisSource;
}

interface ChartPanelProps {
  id: string;
  title: string;
  unit: string;
  /** Must stay the same array as long as the lines do. */
  lines: ChartLine[];
  settings: ChartSettings;
  onChange: ChangeChartSettings;
  syncKey: string;
  isDark: boolean;
  height?: number;
}

const MAX_LEGEND = 12;

/** The axis of tokens needs the count of tokens of every job in the chart, beside its own lines. */
const TOKENS = "tokens";

export const ChartPanel = memo(function ChartPanel(props: ChartPanelProps) {
  const { id, title, unit, lines, settings, onChange, syncKey, isDark, height } = props;
  const { axis } = settings;
  const read = useCallback(
    (lineId: string) => {
      const line = lines.find((item) => item.id === lineId);
      if (!line) return { xs: [], values: [] };
      const curve = line.store.get(line.key, line.rank);
      return { xs: positionsOf(axis, curve, line.source()), values: curve.values };
    },
    [lines, axis],
  );
  const subscribe = useCallback(
    (listener: () => void) => {
      const stops = lines.map((line) => line.store.subscribe(line.key, line.rank, listener));
      const stores = axis === "tokens" ? new Set(lines.map((line) => line.store)) : [];
      for (const store of stores) stops.push(store.subscribe(TOKENS, 0, listener));
      return () => stops.forEach((stop) => stop());
    },
    [lines, axis],
  );
  const onWindow = useCallback((window: ChartSettings["window"]) => onChange({ window }), [onChange]);
  const series = useMemo(() => lines.map(({ id: line, label, color }) => ({ id: line, label, color })), [lines]);
  return (
    <Panel
      testId={`chart-${id}`}
      title={
        <>
          {title}{" "}
          {unit && (
            <Text span c="dimmed" fz="xs" fw={400}>
              {unit}
            </Text>
          )}
        </>
      }
    >
      <Group style={{ gap: "2px 14px" }} mb={4} role="group" aria-label="Legend">
        {lines.slice(0, MAX_LEGEND).map((line) => (
          <LegendEntry key={line.id} line={line} />
        ))}
        {lines.length > MAX_LEGEND && (
          <Text fz="xs" c="dimmed">
            and {lines.length - MAX_LEGEND} more
          </Text>
        )}
      </Group>
      <LineChart
        title={title}
        series={series}
        axis={axis}
        read={read}
        subscribe={subscribe}
        isLog={settings.isLog}
        smoothing={settings.smoothing}
        window={settings.window}
        onWindow={onWindow}
        syncKey={syncKey}
        isDark={isDark}
        height={height}
      />
    </Panel>
  );
});

function LegendEntry({ line }: { line: ChartLine }) {
  const subscribe = useCallback((listener: () => void) => line.store.subscribe(line.key, line.rank, listener), [line]);
  const last = useSyncExternalStore(subscribe, () => line.store.last(line.key, line.rank));
  return (
    <Group gap={6} wrap="nowrap" miw={0}>
      <Box w={10} h={10} bg={line.color} style={{ borderRadius: 3, flexShrink: 0 }} aria-hidden />
      <Text fz="xs" c="dimmed" truncate>
        {line.label}
      </Text>
      <Text fz="xs" fw={600} className="tabular" data-testid={`last-${line.key}`}>
        {formatNumber(last)}
      </Text>
    </Group>
  );
}
