/** One job, live. The stream writes into the query cache and the stores; this page only reads them. */
import { Tabs } from "@mantine/core";
import { useSuspenseQuery } from "@tanstack/react-query";
import { lazy, Suspense, type ReactNode } from "react";
import { ErrorBoundary } from "@/components/error-boundary";
import { JobStateBadge } from "@/components/job-state-badge";
import { RowsSkeleton } from "@/components/loading";
import { Page } from "@/components/page";
import { RelativeTime } from "@/components/relative-time";
import type { Job } from "@/lib/api-types";
import type { JobLive } from "@/lib/live/job-live";
import { useJobLive } from "@/lib/live/use-job-live";
import { jobQuery } from "@/lib/queries/jobs";
import { useRequiredParam } from "@/lib/use-required-param";
import { useSearch } from "@/lib/use-search";
import { JobActionButtons } from "./job-action-buttons";
import { JobResult } from "./job-result";
import { JobStatus } from "./job-status";

const JobCharts = lazy(() => import("./job-charts"));
const JobLogs = lazy(() => import("./job-logs"));
const JobTimeline = lazy(() => import("./job-timeline"));
const JobArtifacts = lazy(() => import("./job-artifacts"));
const JobCheckpoints = lazy(() => import("./job-checkpoints"));
const JobConfiguration = lazy(() => import("./job-configuration"));

interface JobTab {
  value: string;
  label: string;
  render: (job: Job, live: JobLive) => ReactNode;
}

const TABS: JobTab[] = [
  {
    value: "charts",
    label: "Overview",
    render: (job, live) => <JobCharts key="training" job={job} live={live} area="training" />,
  },
  { value: "logs", label: "Logs", render: (job, live) => <JobLogs job={job} live={live} /> },
  {
    value: "system",
    label: "System",
    render: (job, live) => <JobCharts key="system" job={job} live={live} area="system" />,
  },
  { value: "timeline", label: "Timeline", render: (job) => <JobTimeline jobId={job.id} /> },
  { value: "checkpoints", label: "Checkpoints", render: (job) => <JobCheckpoints jobId={job.id} /> },
  { value: "configuration", label: "Configuration", render: (job) => <JobConfiguration job={job} /> },
  { value: "artifacts", label: "Artifacts", render: (job) => <JobArtifacts job={job} /> },
];

export default function JobPage() {
  const jobId = useRequiredParam("jobId");
  return <LiveJob key={jobId} jobId={jobId} />;
}

function LiveJob({ jobId }: { jobId: string }) {
  const { data: job } = useSuspenseQuery(jobQuery(jobId));
  const live = useJobLive(jobId, job.seq);
  const [search, editSearch] = useSearch();
  const wanted = search.get("tab");
  const tab = TABS.find(({ value }) => value === wanted)?.value ?? (job.kind === "generate" ? "logs" : "charts");
  const show = (value: string | null) => editSearch((next) => next.set("tab", value ?? "charts"));
  return (
    <Page
      title={job.name}
      badge={<JobStateBadge state={job.state} size="lg" />}
      parents={[{ label: "Jobs", to: "/jobs" }]}
      description={
        <>
          #{job.number} in {job.project_name}, {job.kind}, by {job.owner.username},{" "}
          <RelativeTime iso={job.created_at} />
        </>
      }
      actions={<JobActionButtons job={job} />}
    >
      <JobStatus job={job} />
      <JobResult job={job} />
      <Tabs value={tab} onChange={show} keepMounted={false}>
        <Tabs.List style={{ flexWrap: "nowrap", overflowX: "auto", overflowY: "hidden" }}>
          {TABS.map(({ value, label }) => (
            <Tabs.Tab key={value} value={value}>
              {label}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        {TABS.map(({ value, render }) => (
          <Tabs.Panel key={value} value={value} pt="md">
            <ErrorBoundary>
              <Suspense fallback={<RowsSkeleton />}>{render(job, live)}</Suspense>
            </ErrorBoundary>
          </Tabs.Panel>
        ))}
      </Tabs>
    </Page>
  );
}
