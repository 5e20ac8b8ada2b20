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
  const share = done !== null && done > 0 ? ` ${formatPct(done)}` : "";
  return `${humanize(phase)}${share}`;
}

function stepsText(job: JobSummary): string {
  const { step, total_steps: total } = job.progress;
  return total > 0 ? `${formatNumber(step)} / ${formatNumber(total)}` : "";
}

export function JobProgress({ job, isDense = false }: { job: JobSummary; isDense?: boolean }) {
  const share = shareOf(job);
  const phase = phaseText(job);
  const steps = stepsText(job);
  const text = isDense ? phase || steps : [steps && `Step ${steps}`, phase].filter(Boolean).join(" - ");
  const size = isDense ? { bar: 4, gap: 2, color: "dimmed" } : { bar: 8, gap: 4, color: "inherit" };
  return (
    <Box miw={isDense ? 110 : undefined}>
      <Group justify="space-between" gap={6} wrap="nowrap">
        <Text fz="xs" className="tabular" c={size.color} truncate data-testid="job-steps">
          {text || "-"}
        </Text>
        <Text fz="xs" className="tabular" c="dimmed">
          {steps && formatPct(share)}
        </Text>
      </Group>
      <Progress
        value={share * 100}
        color={JOB_STATES[job.state].color}
        size={size.bar}
        mt={size.gap}
        aria-label={`Progress of ${job.name}`}
        transitionDuration={300}
      />
    </Box>
  );
}
