/** Settings that all charts of a page share; they are in the address. */
import { Group, Slider, Switch, Text } from "@mantine/core";
import { useSearchParams } from "react-router";

export interface ChartSettings {
  isLog: boolean;
  /** Share of the past, 0 to 0.99. */
  smoothing: number;
}

export function useChartSettings(): [ChartSettings, (changes: Partial<ChartSettings>) => void] {
  const [search, setSearch] = useSearchParams();
  const smoothing = Number(search.get("smooth") ?? 0);
  const settings = {
    isLog: search.get("log") === "1",
    smoothing: Number.isFinite(smoothing) ? Math.min(0.99, Math.max(0, smoothing)) : 0,
  };
  const change = (changes: Partial<ChartSettings>) => {
    const { isLog, smoothing: weight } = { ...settings, ...changes };
    setSearch(
      (old) => {
        const next = new URLSearchParams(old);
        if (isLog) next.set("log", "1");
        else next.delete("log");
        if (weight > 0) next.set("smooth", String(weight));
        else next.delete("smooth");
        return next;
      },
      { replace: true },
    );
  };
  return [settings, change];
}

interface ChartToolbarProps {
  settings: ChartSettings;
  onChange: (changes: Partial<ChartSettings>) => void;
}

export function ChartToolbar({ settings, onChange }: ChartToolbarProps) {
  return (
    <Group gap="lg">
      <Group gap="xs" wrap="nowrap">
        <Text fz="xs" c="dimmed">
          Smoothing
        </Text>
        <Slider
          w={120}
          size="sm"
          min={0}
          max={0.99}
          step={0.01}
          value={settings.smoothing}
          onChange={(smoothing) => onChange({ smoothing })}
          label={(value) => value.toFixed(2)}
          thumbLabel="Smoothing"
        />
      </Group>
      <Switch
        size="xs"
        label="Log scale"
        checked={settings.isLog}
        onChange={(event) => onChange({ isLog: event.currentTarget.checked })}
      />
      <Text fz="xs" c="dimmed" visibleFrom="md">
        Drag to zoom, double-click to reset
      </Text>
    </Group>
  );
}
