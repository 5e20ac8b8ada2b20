/** How far a job is: steps done, or the phase it is in before the first step. */
import { Box, Group, Progress, Text } from "@mantine/core";
import type { JobSummary } from "@/lib/api-types";
import { formatNumber, formatPct, humanize } from "@/lib/format";
import { isFinal, JOB_STATES } from "@/lib/job-state";

function shareOf(job: JobSummary): number {
  const { step, total_steps: total } = job.progress;
  if (job.state === "succeeded") return 1;
  return total > 0 ? Math.min(1, step / total) : 0;
}

export function phaseText(job: JobSummary): string {
  const { phase, phase_progress: done, step } = job.progress;
  if (!phase || isFinal(job.state) || (phase === "train" && step > 0)) return "";
  const share = done !== null && done !== undefined && done > 0 ? ` ${formatPct(done)}` : "";
  return `${humanize(phase)}${share}`;
}

export function JobProgress({ job, isDense = false }: { job: JobSummary; isDense?: boolean }) {
  const share = shareOf(job);
  const phase = phaseText(job);
  const { step, total_steps: total } = job.progress;
  const steps = total > 0 ? `${formatNumber(step)} / ${formatNumber(total)}` : "";
  return (
    <Box miw={isDense ? 110 : undefined}>
      <Group justify="space-between" gap={6} wrap="nowrap">
        <Text fz="xs" className="tabular" c={isDense ? "dimmed" : undefined} truncate data-testid="job-steps">
          {isDense ? phase || steps || "-" : [steps && `Step ${steps}`, phase].filter(Boolean).join(" - ") || "-"}
        </Text>
        <Text fz="xs" className="tabular" c="dimmed">
          {total > 0 && formatPct(share)}
        </Text>
      </Group>
      <Progress
        value={share * 100}
        color={JOB_STATES[job.state].color}
        size={isDense ? 4 : 8}
        mt={isDense ? 2 : 4}
        aria-label={`Progress of ${job.name}`}
        transitionDuration={300}
      />
    </Box>
  );
}
