/** What can be done with the jobs that are ticked. */
import { Button, Group, Text } from "@mantine/core";
import { IconArrowsDiff, IconHandStop } from "@tabler/icons-react";
import { Link } from "react-router";
import { confirm } from "@/components/confirm";
import { notifyDone } from "@/components/notify";
import type { JobSummary } from "@/lib/api-types";
import { useCancelJobs } from "@/lib/queries/jobs";

interface SelectionBarProps {
  ids: string[];
  /** The jobs on screen: of those the state is known. */
  jobs: JobSummary[];
  onClear: () => void;
}

function countText(count: number): string {
  return count === 1 ? "1 job" : `${count} jobs`;
}

export function SelectionBar({ ids, jobs, onClear }: SelectionBarProps) {
  const cancel = useCancelJobs();
  if (ids.length === 0) return null;
  const over = new Set(jobs.filter((job) => job.is_final || job.state === "cancelling").map((job) => job.id));
  const stoppable = ids.filter((id) => !over.has(id));
  const ask = () =>
    confirm({
      title: `Cancel ${countText(stoppable.length)}?`,
      consequences: [
        "Those that run stop at the next step boundary, after saving a checkpoint. Those that wait leave the queue.",
        "Checkpoints, metrics and logs are kept.",
      ],
      confirmLabel: `Cancel ${countText(stoppable.length)}`,
      onConfirm: async () => {
        await cancel.mutateAsync(stoppable);
        notifyDone(`${countText(stoppable.length)} told to stop.`);
        onClear();
      },
    });
  return (
    <Group gap="xs" px="sm" pb="sm" data-testid="selection-bar" role="group" aria-label="Selected jobs">
      <Text fz="sm" fw={600}>
        {countText(ids.length)} selected
      </Text>
      <Button
        component={Link}
        to={`/jobs/compare?jobs=${ids.join(",")}`}
        size="xs"
        variant="default"
        leftSection={<IconArrowsDiff size={14} />}
      >
        Compare
      </Button>
      {stoppable.length > 0 && (
        <Button
          size="xs"
          variant="default"
          leftSection={<IconHandStop size={14} />}
          loading={cancel.isPending}
          onClick={ask}
        >
          Cancel {countText(stoppable.length)}
        </Button>
      )}
      <Button size="xs" variant="subtle" onClick={onClear}>
        Clear selection
      </Button>
    </Group>
  );
}
