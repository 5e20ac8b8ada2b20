/** The curves of several jobs over each other: a chart for each metric, a line for each job. */
import { SimpleGrid, Stack, useComputedColorScheme } from "@mantine/core";
import { useEffect, useMemo } from "react";
import { stepsWithin } from "@/components/charts/axis";
import { chartGroups, metricName } from "@/components/charts/chart-groups";
import { ChartPanel, type ChartLine } from "@/components/charts/chart-panel";
import { ChartToolbar } from "@/components/charts/chart-toolbar";
import { seriesColor } from "@/components/charts/series-colors";
import { useChartSettings } from "@/components/charts/use-chart-settings";
import type { Job, Series } from "@/lib/api-types";
import { useJobLives } from "@/lib/live/use-job-live";

interface CompareChartsProps {
  jobs: Job[];
  /** What each job reported, in the order of the jobs. */
  series: Series[][];
}

/** Metrics of the training that the first rank reports, in the order of a job's own charts. */
function metricsOf(series: Series[][]): { key: string; unit: string }[] {
  const ofFirstRank = series.flat().filter((item) => item.rank === 0);
  return chartGroups(ofFirstRank, { area: "training", hasEachRank: false })
    .filter((group) => group.id !== "tokens" && group.id !== "loss_local")
    .flatMap((group) => group.lines.map((line) => ({ key: line.key, unit: group.unit })));
}

export function CompareCharts({ jobs, series }: CompareChartsProps) {
  const lives = useJobLives(jobs);
  const [settings, change] = useChartSettings();
  const isDark = useComputedColorScheme("light") === "dark";
  const names = jobs.map((job) => `${job.id} ${job.name} ${job.started_at ?? ""}`).join("|");
  const keys = [...new Set(series.flat().map((item) => item.key))].sort().join("|");
  const charts = useMemo(
    () =>
      metricsOf(series).map(({ key, unit }) => ({
        id: key,
        title: metricName(key),
        unit,
        lines: lives.flatMap((live, index): ChartLine[] => {
          const job = jobs[index];
          if (!job || !series[index]?.some((item) => item.key === key)) return [];
          const startMs = Date.parse(job.started_at ?? job.created_at);
          return [
            {
              id: job.id,
              key,
              rank: 0,
              label: `${job.name} #${job.number}`,
              color: seriesColor(index),
              store: live.metrics,
              source: () => ({ startMs, tokens: live.metrics.get("tokens", 0) }),
            },
          ];
        }),
      })),
    // a step changes the jobs; the charts follow only what the two names stand for
    // eslint-disable-next-line react-hooks/exhaustive-deps
    [lives, names, keys],
  );
  const { axis, window } = settings;
  useEffect(() => {
    for (const line of charts[0]?.lines ?? []) {
      line.store.setWindow(stepsWithin(axis, window, line.store.get(line.key, line.rank), line.source()));
    }
  }, [charts, axis, window]);
  const common = { settings, onChange: change, syncKey: "compare", isDark };
  const [first, ...others] = charts;
  if (!first) return null;
  return (
    <Stack gap="md">
      <ChartToolbar settings={settings} onChange={change} />
      <ChartPanel key={first.id} {...first} height={300} {...common} />
      <SimpleGrid cols={{ base: 1, md: 2, xl: 3 }} spacing="md">
        {others.map((chart) => (
          <ChartPanel key={chart.id} {...chart} {...common} />
        ))}
      </SimpleGrid>
    </Stack>
  );
}
