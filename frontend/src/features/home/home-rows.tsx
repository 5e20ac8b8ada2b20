/** Rows of the overview. */
import { Box, Group, Text } from "@mantine/core";
import { JobProgress } from "@/components/job-progress";
import { JobStateBadge } from "@/components/job-state-badge";
import { RelativeTime } from "@/components/relative-time";
import { TextLink } from "@/components/text-link";
import type { JobSummary, ModelVersionSummary } from "@/lib/api-types";
import { formatCount, formatDuration, formatNumber, toNumber } from "@/lib/format";

export function ActiveJob({ job }: { job: JobSummary }) {
  const loss = toNumber(job.latest["loss"]);
  return (
    <Box>
      <Group justify="space-between" gap="xs" mb={4} wrap="nowrap">
        <TextLink to={`/jobs/${job.id}`} fw={550} fz="sm" truncate>
          {job.name} #{job.number}
        </TextLink>
        <JobStateBadge state={job.state} size="sm" />
      </Group>
      <JobProgress job={job} />
      <Text fz="xs" c="dimmed" className="tabular" mt={2}>
        {[loss !== null && `Loss ${formatNumber(loss)}`, job.eta_s !== null && `${formatDuration(job.eta_s)} left`]
          .filter(Boolean)
          .join(", ") || job.state_reason}
      </Text>
    </Box>
  );
}

export function EndedJob({ job }: { job: JobSummary }) {
  return (
    <Box>
      <Group justify="space-between" gap="xs" wrap="nowrap">
        <TextLink to={`/jobs/${job.id}`} fw={550} fz="sm" truncate>
          {job.name} #{job.number}
        </TextLink>
        <Group gap="xs" wrap="nowrap">
          <RelativeTime iso={job.ended_at} fz="xs" c="dimmed" />
          <JobStateBadge state={job.state} size="sm" />
        </Group>
      </Group>
      <Text fz="xs" c="dimmed" lineClamp={2}>
        {job.state_reason}
      </Text>
    </Box>
  );
}

export function VersionRow({ version }: { version: ModelVersionSummary }) {
  return (
    <Group justify="space-between" gap="xs" wrap="nowrap">
      <TextLink to={`/model-versions/${version.id}`} fz="sm" truncate>
        {version.name}
      </TextLink>
      <Text fz="xs" c="dimmed" className="tabular">
        {formatCount(version.num_parameters)} parameters, <RelativeTime iso={version.created_at} />
      </Text>
    </Group>
  );
}
