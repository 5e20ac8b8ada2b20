/** How all charts of a page are drawn. */
import { Button, Group, SegmentedControl, Slider, Switch, Text } from "@mantine/core";
import { IconZoomOut } from "@tabler/icons-react";
import { AXES, AXIS_KINDS } from "./axis";
import type { ChartSettings, ChangeChartSettings } from "./use-chart-settings";

interface ChartToolbarProps {
  settings: ChartSettings;
  onChange: ChangeChartSettings;
  /** Offer to show each rank's own line. */
  hasRanks?: boolean;
}

const AXIS_CHOICES = AXIS_KINDS.map((value) => ({ value, label: AXES[value].label }));

export function ChartToolbar({ settings, onChange, hasRanks = false }: ChartToolbarProps) {
  return (
    <Group gap="md">
      <SegmentedControl
        size="xs"
        aria-label="Axis"
        data={AXIS_CHOICES}
        value={settings.axis}
        onChange={(axis) => onChange({ axis })}
      />
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
      {hasRanks && (
        <Switch
          size="xs"
          label="Each rank"
          checked={settings.hasEachRank}
          onChange={(event) => onChange({ hasEachRank: event.currentTarget.checked })}
        />
      )}
      {settings.window ? (
        <Button
          size="compact-xs"
          variant="default"
          leftSection={<IconZoomOut size={13} />}
          onClick={() => onChange({ window: null })}
        >
          Show all
        </Button>
      ) : (
        <Text fz="xs" c="dimmed" visibleFrom="md">
          Drag to zoom, double-click to reset
        </Text>
      )}
    </Group>
  );
}
