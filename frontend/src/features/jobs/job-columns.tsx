/** What the table of jobs shows of each. */
import { Text } from "@mantine/core";
import type { Column } from "@/components/data-table";
import { JobProgress } from "@/components/job-progress";
import { JobStateBadge } from "@/components/job-state-badge";
import { RelativeTime } from "@/components/relative-time";
import { TextLink } from "@/components/text-link";
import type { JobSummary } from "@/lib/api-types";
import { formatCount, formatNumber, toNumber } from "@/lib/format";
import { JobMenu } from "./job-menu";

export function jobSlots(job: JobSummary): number {
  return (job.attempt_nodes ?? job.resources.nodes) * job.resources.slots_per_node;
}

export const JOB_COLUMNS: Column<JobSummary>[] = [
  { key: "state", header: "State", width: 120, render: (job) => <JobStateBadge state={job.state} size="sm" /> },
  {
    key: "name",
    header: "Name",
    sortBy: "name",
    render: (job) => (
      <TextLink
        to={`/jobs/${job.id}`}
        fw={550}
        fz="sm"
        lineClamp={1}
        title={job.name}
        style={{ wordBreak: "break-all" }}
      >
        {job.name}{" "}
        <Text span c="dimmed" fz="xs" fw={400}>
          #{job.number}
        </Text>
      </TextLink>
    ),
  },
  { key: "kind", header: "Kind", from: "sm", render: (job) => job.kind },
  { key: "project", header: "Project", from: "lg", render: (job) => job.project_name },
  { key: "progress", header: "Progress", from: "xs", width: 150, render: (job) => <JobProgress job={job} isDense /> },
  {
    key: "loss",
    header: "Loss",
    isNumeric: true,
    from: "sm",
    render: (job) => formatNumber(toNumber(job.latest["loss"])),
  },
  {
    key: "speed",
    header: "Tokens/s",
    isNumeric: true,
    from: "md",
    render: (job) => formatCount(toNumber(job.latest["tokens_per_s"])),
  },
  { key: "slots", header: "Slots", isNumeric: true, from: "md", render: jobSlots },
  {
    key: "age",
    header: "Age",
    sortBy: "created_at",
    isNumeric: true,
    from: "sm",
    render: (job) => <RelativeTime iso={job.created_at} />,
  },
  { key: "owner", header: "Owner", from: "lg", render: (job) => job.owner.username },
  { key: "menu", header: "", width: 44, render: (job) => <JobMenu job={job} /> },
];
