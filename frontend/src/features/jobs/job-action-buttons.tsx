/** What can be done with a job, on its page. */
import { Button } from "@mantine/core";
import { IconBolt, IconEdit, IconHandStop, IconRefresh, IconTrash } from "@tabler/icons-react";
import { Link } from "react-router";
import type { JobSummary } from "@/lib/api-types";
import { editUrl, useJobActions } from "./job-commands";

export function JobActionButtons({ job }: { job: JobSummary }) {
  const actions = useJobActions(job);
  const common = { variant: "default", loading: actions.isBusy } as const;
  return (
    <>
      {actions.canCancel && (
        <Button {...common} leftSection={<IconHandStop size={16} />} onClick={actions.cancel}>
          Cancel
        </Button>
      )}
      {actions.canKill && (
        <Button {...common} leftSection={<IconBolt size={16} />} onClick={actions.kill}>
          Kill
        </Button>
      )}
      {actions.canRerun && (
        <Button {...common} leftSection={<IconRefresh size={16} />} onClick={actions.rerun}>
          Run again
        </Button>
      )}
      <Button component={Link} to={editUrl(job)} variant="default" leftSection={<IconEdit size={16} />}>
        Edit and run
      </Button>
      {actions.canDelete && (
        <Button {...common} leftSection={<IconTrash size={16} />} onClick={actions.remove}>
          Delete
        </Button>
      )}
    </>
  );
}
