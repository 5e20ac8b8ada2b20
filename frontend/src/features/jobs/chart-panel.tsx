/** One chart of a job, with a legend that shows each line's last value. */
import { Box, Group, Text } from "@mantine/core";
import { useCallback, useMemo, useSyncExternalStore } from "react";
import { LineChart } from "@/components/charts/line-chart";
import { seriesColor } from "@/components/charts/series-colors";
import { Panel } from "@/components/panel";
import { formatNumber } from "@/lib/format";
import type { MetricStore } from "@/lib/live/metric-store";
import type { ChartGroup, ChartLine } from "./chart-groups";
import type { ChartSettings } from "./chart-toolbar";

interface ChartPanelProps {
  group: ChartGroup;
  store: MetricStore;
  settings: ChartSettings;
  syncKey: string;
  isDark: boolean;
  height?: number;
}

const idOf = (line: ChartLine): string => `${line.rank}/${line.key}`;

export function ChartPanel({ group, store, settings, syncKey, isDark, height }: ChartPanelProps) {
  const { lines } = group;
  const series = useMemo(
    () => lines.map((line, index) => ({ id: idOf(line), label: line.label, color: seriesColor(index) })),
    [lines],
  );
  const read = useCallback(
    (id: string) => {
      const line = lines.find((item) => idOf(item) === id);
      return line ? store.get(line.key, line.rank) : { steps: [], values: [] };
    },
    [lines, store],
  );
  const subscribe = useCallback(
    (listener: () => void) => {
      const stops = lines.map((line) => store.subscribe(line.key, line.rank, listener));
      return () => stops.forEach((stop) => stop());
    },
    [lines, store],
  );
  return (
    <Panel
      testId={`chart-${group.id}`}
      title={
        <>
          {group.title}{" "}
          {group.unit && (
            <Text span c="dimmed" fz="xs" fw={400}>
              {group.unit}
            </Text>
          )}
        </>
      }
    >
      <Group style={{ gap: "2px 14px" }} mb={4} aria-label="Legend">
        {lines.slice(0, 12).map((line, index) => (
          <LegendEntry key={idOf(line)} line={line} color={seriesColor(index)} store={store} />
        ))}
      </Group>
      <LineChart
        title={group.title}
        series={series}
        read={read}
        subscribe={subscribe}
        isLog={settings.isLog}
        smoothing={settings.smoothing}
        syncKey={syncKey}
        isDark={isDark}
        height={height}
      />
    </Panel>
  );
}

function LegendEntry({ line, color, store }: { line: ChartLine; color: string; store: MetricStore }) {
  const subscribe = useCallback(
    (listener: () => void) => store.subscribe(line.key, line.rank, listener),
    [line, store],
  );
  const last = useSyncExternalStore(subscribe, () => store.last(line.key, line.rank));
  return (
    <Group gap={6} wrap="nowrap">
      <Box w={10} h={10} bg={color} style={{ borderRadius: 3 }} aria-hidden />
      <Text fz="xs" c="dimmed">
        {line.label}
      </Text>
      <Text fz="xs" fw={600} className="tabular" data-testid={`last-${line.key}`}>
        {formatNumber(last)}
      </Text>
    </Group>
  );
}
