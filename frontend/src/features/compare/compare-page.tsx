/** Which of these, and why: curves over each other, the parameters that differ, what it came to. */
import { ActionIcon, Alert, Box, Button, Group, Radio, Stack, Text } from "@mantine/core";
import { IconArrowsDiff, IconX } from "@tabler/icons-react";
import { useQueries } from "@tanstack/react-query";
import { Link } from "react-router";
import { metricName } from "@/components/charts/chart-groups";
import { seriesColor } from "@/components/charts/series-colors";
import { EmptyState } from "@/components/empty-state";
import { JobStateBadge } from "@/components/job-state-badge";
import { PageSkeleton } from "@/components/loading";
import { Page } from "@/components/page";
import { Panel } from "@/components/panel";
import { TextLink } from "@/components/text-link";
import { describeError } from "@/lib/api-error";
import type { Job, Series } from "@/lib/api-types";
import { formatNumber } from "@/lib/format";
import { jobQuery, jobSeriesQuery } from "@/lib/queries/jobs";
import { differingParameters, parameterText } from "@/lib/spec-diff";
import { CompareCharts } from "./compare-charts";
import { CompareTable } from "./compare-table";
import { differenceText, metricRows } from "./final-metrics";
import { useSelection, type Selection } from "./selection";

const PARENTS = [{ label: "Jobs", to: "/jobs" }];

export default function ComparePage() {
  const selection = useSelection();
  const details = useQueries({ queries: selection.ids.map((id) => jobQuery(id)) });
  const series = useQueries({ queries: selection.ids.map((id) => jobSeriesQuery(id)) });
  if (selection.ids.length === 0) return <NothingChosen />;
  if (details.some((query) => query.isLoading) || series.some((query) => query.isLoading)) return <PageSkeleton />;
  const shown = selection.ids.flatMap((_, index) => {
    const job = details[index]?.data;
    return job ? [{ job, series: series[index]?.data ?? [] }] : [];
  });
  const problem = [...details, ...series].find((query) => query.error)?.error;
  const jobs = shown.map((item) => item.job);
  return (
    <Page title="Compare" description={jobs.length === 1 ? "1 job" : `${jobs.length} jobs`} parents={PARENTS}>
      {problem && (
        <Alert role="alert" color="red" variant="light" title="Not everything could be shown">
          {describeError(problem)}
        </Alert>
      )}
      <Chosen jobs={jobs} selection={selection} />
      <CompareCharts jobs={jobs} series={shown.map((item) => item.series)} />
      <Stack gap="md">
        <MetricsPanel shown={shown} baseline={selection.baseline} />
        <ParametersPanel jobs={jobs} baseline={selection.baseline} />
      </Stack>
    </Page>
  );
}

function NothingChosen() {
  return (
    <Page title="Compare" parents={PARENTS}>
      <Panel>
        <EmptyState
          icon={IconArrowsDiff}
          title="Nothing to compare yet"
          description="Tick some jobs in the table of jobs, then choose Compare."
          action={
            <Button component={Link} to="/jobs">
              Go to jobs
            </Button>
          }
        />
      </Panel>
    </Page>
  );
}

function Chosen({ jobs, selection }: { jobs: Job[]; selection: Selection }) {
  return (
    <Panel title="Jobs" description="Differences are measured against the one that is marked." testId="compare-jobs">
      <Radio.Group value={selection.baseline ?? ""} onChange={selection.setBaseline} aria-label="Baseline">
        <Stack gap={6}>
          {jobs.map((job, index) => (
            <Group key={job.id} gap="xs" wrap="nowrap">
              <Radio size="xs" value={job.id} aria-label={`Measure against ${job.name} #${job.number}`} />
              <Box w={10} h={10} bg={seriesColor(index)} style={{ borderRadius: 3, flexShrink: 0 }} aria-hidden />
              <TextLink to={`/jobs/${job.id}`} fz="sm" fw={550} truncate>
                {job.name} #{job.number}
              </TextLink>
              <JobStateBadge state={job.state} size="sm" />
              <ActionIcon
                size="sm"
                variant="subtle"
                color="gray"
                aria-label={`Leave out ${job.name} #${job.number}`}
                onClick={() => selection.remove(job.id)}
              >
                <IconX size={14} />
              </ActionIcon>
            </Group>
          ))}
        </Stack>
      </Radio.Group>
    </Panel>
  );
}

type Shown = { job: Job; series: Series[] }[];

function MetricsPanel({ shown, baseline }: { shown: Shown; baseline: string | undefined }) {
  const jobs = shown.map((item) => item.job);
  const base = jobs.findIndex((job) => job.id === baseline);
  const rows = metricRows(shown.map((item) => item.series)).map(({ key, values }) => ({
    key,
    label: metricName(key),
    cells: values.map((value, index) => (
      <>
        <Text fz="sm">{formatNumber(value)}</Text>
        {index !== base && (
          <Text fz="xs" c="dimmed">
            {differenceText(value, values[base] ?? null)}
          </Text>
        )}
      </>
    )),
  }));
  return (
    <Panel title="Final metrics" isFlush testId="compare-metrics">
      {rows.length > 0 ? (
        <CompareTable label="Metric" jobs={jobs} baseline={baseline} rows={rows} isNumeric />
      ) : (
        <Text fz="sm" c="dimmed" p="md" pt={0}>
          None of them has reported a metric yet.
        </Text>
      )}
    </Panel>
  );
}

function ParametersPanel({ jobs, baseline }: { jobs: Job[]; baseline: string | undefined }) {
  const rows = differingParameters(jobs).map(({ path, values }) => ({
    key: path,
    label: path,
    cells: values.map(parameterText),
  }));
  return (
    <Panel title="Parameters that differ" isFlush testId="compare-parameters">
      {rows.length > 0 ? (
        <CompareTable label="Parameter" jobs={jobs} baseline={baseline} rows={rows} />
      ) : (
        <Text fz="sm" c="dimmed" p="md" pt={0}>
          They were asked for alike.
        </Text>
      )}
    </Panel>
  );
}
