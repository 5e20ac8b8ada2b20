/** How it is going: the state in a sentence, progress, and the figures of the last step. */
import { SimpleGrid, Stack, Text } from "@mantine/core";
import { JobProgress } from "@/components/job-progress";
import { Panel } from "@/components/panel";
import { Stat } from "@/components/stat";
import type { JobSummary } from "@/lib/api-types";
import { formatCount, formatDuration, formatNumber, secondsBetween, toNumber } from "@/lib/format";
import { JOB_STATES } from "@/lib/job-state";
import { useNow } from "@/lib/use-now";

/** The server's reason as a sentence, or what the state means. */
export function stateSentence(job: JobSummary): string {
  const meaning = `The job ${JOB_STATES[job.state].meaning}.`;
  if (!job.state_reason) return meaning;
  const reason = job.state_reason.trim();
  return /[.!?]$/.test(reason) ? reason : `${reason}.`;
}

export function JobStatus({ job }: { job: JobSummary }) {
  const latest = (key: string) => toNumber(job.latest[key]);
  return (
    <Panel testId="job-status">
      <Stack gap="sm">
        <Text fz="sm" style={{ overflowWrap: "anywhere" }} data-testid="job-reason">
          {stateSentence(job)}
        </Text>
        <JobProgress job={job} />
        <SimpleGrid cols={{ base: 2, xs: 3, md: 6 }} spacing="sm" verticalSpacing="xs">
          <Stat label="Loss" testId="job-loss">
            {formatNumber(latest("loss"))}
          </Stat>
          <Stat label="Tokens/s">{formatCount(latest("tokens_per_s"))}</Stat>
          <Stat label="Time left" testId="job-eta">
            {job.eta_s === null ? "-" : formatDuration(job.eta_s)}
          </Stat>
          <Stat label={job.is_final ? "Took" : "Running for"}>
            <Elapsed job={job} />
          </Stat>
          <Stat label="Attempt">{job.attempt ?? "-"}</Stat>
          <Stat label="Slots">
            {job.attempt_nodes ?? job.resources.nodes} x {job.resources.slots_per_node} in {job.resources.pool}
          </Stat>
        </SimpleGrid>
      </Stack>
    </Panel>
  );
}

function Elapsed({ job }: { job: JobSummary }) {
  const now = useNow();
  if (!job.started_at) return "-";
  return formatDuration(secondsBetween(job.started_at, job.ended_at, now));
}
