/** Name a project and put it in a workspace. */
import { Button, Group, Select, Stack, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState, type SyntheticEvent } from "react";
import { describeError } from "@/lib/api-error";
import { useCreateProject, workspacesQuery } from "@/lib/queries/projects";
import { useProject } from "@/lib/use-project";

export function CreateProjectForm({ onDone }: { onDone?: () => void }) {
  const { data: workspaces = [] } = useQuery(workspacesQuery);
  const { choose } = useProject();
  const create = useCreateProject();
  const [name, setName] = useState("");
  const [description, setDescription] = useState("");
  const [chosen, setChosen] = useState<string | null>(null);
  const workspace = chosen ?? workspaces[0]?.id ?? null;
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    if (!workspace) return;
    create.mutate(
      { workspace, name, description },
      {
        onSuccess: (project) => {
          choose(project.id);
          onDone?.();
        },
      },
    );
  };
  return (
    <form onSubmit={submit}>
      <Stack gap="sm">
        {workspaces.length > 1 && (
          <Select
            label="Workspace"
            data={workspaces.map((item) => ({ value: item.id, label: item.name }))}
            value={workspace}
            onChange={setChosen}
            allowDeselect={false}
          />
        )}
        <TextInput
          label="Name"
          required
          maxLength={80}
          value={name}
          onChange={(event) => setName(event.currentTarget.value)}
          error={create.error && describeError(create.error)}
          data-autofocus
        />
        <TextInput
          label="Description"
          value={description}
          onChange={(event) => setDescription(event.currentTarget.value)}
        />
        <Group justify="flex-end">
          <Button type="submit" loading={create.isPending} disabled={!name.trim() || !workspace}>
            Create project
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
