/** The charts of a job: one large for the loss, then the others. */
import { Box, SimpleGrid, Stack, useComputedColorScheme } from "@mantine/core";
import { IconChartLine } from "@tabler/icons-react";
import { useSuspenseQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { EmptyState } from "@/components/empty-state";
import { Panel } from "@/components/panel";
import type { JobSummary } from "@/lib/api-types";
import type { JobLive } from "@/lib/live/job-live";
import { jobSeriesQuery } from "@/lib/queries/jobs";
import { chartGroups } from "./chart-groups";
import { ChartPanel } from "./chart-panel";
import { ChartToolbar, useChartSettings } from "./chart-toolbar";

export default function JobCharts({ job, live }: { job: JobSummary; live: JobLive }) {
  const { data: series } = useSuspenseQuery(jobSeriesQuery(job.id));
  const [settings, change] = useChartSettings();
  const isDark = useComputedColorScheme("light") === "dark";
  // the list comes again whenever a key is new; the same keys must keep the same charts
  const names = series.map((item) => `${item.rank}/${item.key}`).join("|");
  // eslint-disable-next-line react-hooks/exhaustive-deps
  const groups = useMemo(() => chartGroups(series), [names]);
  const [first, ...others] = groups;
  if (!first) {
    return (
      <Panel>
        <EmptyState
          icon={IconChartLine}
          title={job.is_final ? "No metrics were reported" : "No metrics yet"}
          description={
            job.is_final
              ? "The job ended before its first reporting step."
              : "Curves appear with the first reporting step."
          }
        />
      </Panel>
    );
  }
  const common = { store: live.metrics, settings, syncKey: `job-${job.id}`, isDark };
  return (
    <Stack gap="md">
      <ChartToolbar settings={settings} onChange={change} />
      <Box>
        <ChartPanel group={first} height={300} {...common} />
      </Box>
      <SimpleGrid cols={{ base: 1, md: 2, xl: 3 }} spacing="md">
        {others.map((group) => (
          <ChartPanel key={group.id} group={group} {...common} />
        ))}
      </SimpleGrid>
    </Stack>
  );
}
