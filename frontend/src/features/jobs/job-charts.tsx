/** The charts of a job: one large for what matters most, then the others. */
import { Box, SimpleGrid, Stack, useComputedColorScheme } from "@mantine/core";
import { IconChartLine } from "@tabler/icons-react";
import { useSuspenseQuery } from "@tanstack/react-query";
import { useEffect, useMemo } from "react";
import { stepsWithin, type AxisSource } from "@/components/charts/axis";
import { chartGroups, type ChartArea, type ChartGroup } from "@/components/charts/chart-groups";
import { ChartPanel, type ChartLine } from "@/components/charts/chart-panel";
import { ChartToolbar } from "@/components/charts/chart-toolbar";
import { seriesColor } from "@/components/charts/series-colors";
import { useChartSettings, type ChartSettings } from "@/components/charts/use-chart-settings";
import { EmptyState } from "@/components/empty-state";
import { Panel } from "@/components/panel";
import type { JobSummary } from "@/lib/api-types";
import type { JobLive } from "@/lib/live/job-live";
import { jobSeriesQuery } from "@/lib/queries/jobs";

interface JobChartsProps {
  job: JobSummary;
  live: JobLive;
  area: ChartArea;
}

function linesOf(group: ChartGroup, live: JobLive, source: () => AxisSource): ChartLine[] {
  return group.lines.map((line, index) => ({
    ...line,
    id: `${line.rank}/${line.key}`,
    color: seriesColor(index),
    store: live.metrics,
    source,
  }));
}

/** Have finer points brought for the window, as soon as it is another. */
function useWindow(live: JobLive, { axis, window }: ChartSettings, first: ChartLine | undefined): void {
  useEffect(() => {
    if (!first || !window) return;
    const { metrics } = live;
    let isSet = false;
    // which steps a span of time or tokens has is known as soon as the curve is there; finer points do not change it
    const apply = () => {
      const steps = isSet ? null : stepsWithin(axis, window, metrics.get(first.key, first.rank), first.source());
      if (!steps) return;
      isSet = true;
      metrics.setWindow(steps);
    };
    apply();
    const stop = metrics.subscribe(first.key, first.rank, apply);
    return () => {
      stop();
      metrics.setWindow(null);
    };
  }, [live, axis, window, first]);
}

export default function JobCharts({ job, live, area }: JobChartsProps) {
  const { data: series } = useSuspenseQuery(jobSeriesQuery(job.id));
  const [settings, change] = useChartSettings();
  const isDark = useComputedColorScheme("light") === "dark";
  const hasEachRank = area === "system" || settings.hasEachRank;
  // the list comes again whenever a key is new; the same keys must keep the same charts
  const names = series.map((item) => `${item.rank}/${item.key}`).join("|");
  const charts = useMemo(() => {
    const startMs = Date.parse(job.started_at ?? job.created_at);
    const source = () => ({ startMs, tokens: live.metrics.get("tokens", 0) });
    return chartGroups(series, { area, hasEachRank })
      .filter((group) => group.id !== "tokens")
      .map((group) => ({ ...group, lines: linesOf(group, live, source) }));
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [names, area, hasEachRank, live, job.started_at, job.created_at]);
  const [first, ...others] = charts;
  useWindow(live, settings, first?.lines[0]);
  if (!first) return <NoCharts job={job} area={area} />;
  const common = { settings, onChange: change, syncKey: `job-${job.id}`, isDark };
  return (
    <Stack gap="md">
      <ChartToolbar
        settings={settings}
        onChange={change}
        hasRanks={area === "training" && series.some((item) => item.rank > 0)}
      />
      <Box>
        <ChartPanel {...first} height={area === "training" ? 300 : 220} {...common} />
      </Box>
      <SimpleGrid cols={{ base: 1, md: 2, xl: 3 }} spacing="md">
        {others.map((chart) => (
          <ChartPanel key={chart.id} {...chart} {...common} />
        ))}
      </SimpleGrid>
    </Stack>
  );
}

function NoCharts({ job, area }: { job: JobSummary; area: ChartArea }) {
  const what = area === "system" ? "readings" : "metrics";
  return (
    <Panel>
      <EmptyState
        icon={IconChartLine}
        title={job.is_final ? `No ${what} were reported` : `No ${what} yet`}
        description={
          job.is_final
            ? "The job ended before its first reporting step."
            : area === "system"
              ? "Utilisation, memory and power are sampled every few seconds once the job runs."
              : "Curves appear with the first reporting step."
        }
      />
    </Panel>
  );
}
