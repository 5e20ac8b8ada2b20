/** What can be done with a job, from its row. */
import { ActionIcon, Menu } from "@mantine/core";
import { IconBolt, IconDotsVertical, IconHandStop, IconRefresh, IconTrash } from "@tabler/icons-react";
import type { JobSummary } from "@/lib/api-types";
import { useJobActions } from "./job-commands";

export function JobMenu({ job }: { job: JobSummary }) {
  const actions = useJobActions(job);
  return (
    <Menu position="bottom-end" width={150}>
      <Menu.Target>
        <ActionIcon variant="subtle" color="gray" aria-label={`Actions for ${job.name} #${job.number}`}>
          <IconDotsVertical size={16} />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        {actions.canCancel && (
          <Menu.Item leftSection={<IconHandStop size={15} />} onClick={actions.cancel}>
            Cancel
          </Menu.Item>
        )}
        {actions.canKill && (
          <Menu.Item leftSection={<IconBolt size={15} />} color="red" onClick={actions.kill}>
            Kill
          </Menu.Item>
        )}
        {actions.canRerun && (
          <Menu.Item leftSection={<IconRefresh size={15} />} onClick={actions.rerun}>
            Run again
          </Menu.Item>
        )}
        {actions.canDelete && (
          <Menu.Item leftSection={<IconTrash size={15} />} color="red" onClick={actions.remove}>
            Delete
          </Menu.Item>
        )}
      </Menu.Dropdown>
    </Menu>
  );
}
