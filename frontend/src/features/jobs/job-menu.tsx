/** What can be done with a job, from its row. */
import { ActionIcon, Menu } from "@mantine/core";
import { IconBolt, IconDotsVertical, IconEdit, IconHandStop, IconRefresh, IconTrash } from "@tabler/icons-react";
import { Link } from "react-router";
import type { JobSummary } from "@/lib/api-types";
import { editUrl, useJobActions } from "./job-commands";

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
        <Menu.Item component={Link} to={editUrl(job)} leftSection={<IconEdit size={15} />}>
          Edit and run
        </Menu.Item>
        {actions.canDelete && (
          <Menu.Item leftSection={<IconTrash size={15} />} color="red" onClick={actions.remove}>
            Delete
          </Menu.Item>
        )}
      </Menu.Dropdown>
    </Menu>
  );
}
