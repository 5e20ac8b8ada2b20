/** Cancel, kill, rerun, delete: asked first, in words that say how they differ. */
import { useNavigate } from "react-router";
import { confirm } from "@/components/confirm";
import { notifyDone, notifyError } from "@/components/notify";
import type { JobSummary } from "@/lib/api-types";
import { useDeleteJob, useJobCommand } from "@/lib/queries/jobs";

export interface JobActions {
  canCancel: boolean;
  canKill: boolean;
  canRerun: boolean;
  canDelete: boolean;
  isBusy: boolean;
  cancel: () => void;
  kill: () => void;
  rerun: () => void;
  remove: () => void;
}

/** The form, filled in with what this job was asked for. */
export function editUrl(job: JobSummary): string {
  return `/jobs/new?from=${job.id}`;
}

export function useJobActions(job: JobSummary): JobActions {
  const command = useJobCommand(job.id);
  const deletion = useDeleteJob(job.id);
  const navigate = useNavigate();
  const label = `${job.name} #${job.number}`;
  const isQueued = job.state === "queued";

  return {
    canCancel: !job.is_final && job.state !== "cancelling",
    canKill: !job.is_final && !isQueued && !job.kill_requested,
    canRerun: job.is_final,
    canDelete: job.is_final,
    isBusy: command.isPending || deletion.isPending,
    cancel: () =>
      confirm({
        title: `Cancel ${label}?`,
        consequences: isQueued
          ? ["It has not started. It leaves the queue."]
          : [
              "It stops at the next step boundary, after saving a checkpoint.",
              "Checkpoints, metrics and logs are kept.",
            ],
        confirmLabel: "Cancel job",
        onConfirm: async () => {
          await command.mutateAsync("cancel");
          notifyDone(`${label} is being cancelled.`);
        },
      }),
    kill: () =>
      confirm({
        title: `Kill ${label}?`,
        consequences: [
          "Its processes are ended at once, without saving.",
          "The steps since the last checkpoint are lost. Earlier checkpoints, metrics and logs are kept.",
        ],
        confirmLabel: "Kill job",
        onConfirm: async () => {
          await command.mutateAsync("kill");
          notifyDone(`${label} is being killed.`);
        },
      }),
    rerun: () => {
      command.mutate("rerun", {
        onSuccess: (next) => {
          notifyDone(`Submitted as #${next.number}.`);
          void navigate(`/jobs/${next.id}`);
        },
        onError: notifyError,
      });
    },
    remove: () =>
      confirm({
        title: `Delete ${label}?`,
        consequences: [
          "Its metrics, logs and checkpoints go with it after the project's grace period.",
          "A model version that it made is kept.",
        ],
        confirmLabel: "Delete job",
        onConfirm: async () => {
          await deletion.mutateAsync();
          notifyDone(`${label} is deleted.`);
          void navigate("/jobs");
        },
      }),
  };
}
