/** Which project the lists show and new things go to. */
import { Button, Menu, Text } from "@mantine/core";
import { modals } from "@mantine/modals";
import { IconCheck, IconChevronDown, IconFolder, IconPlus } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { CreateProjectForm } from "@/components/create-project-form";
import { workspacesQuery } from "@/lib/queries/projects";
import { useProject } from "@/lib/use-project";

export function ProjectSwitcher() {
  const { projects, project, choose } = useProject();
  const { data: workspaces = [] } = useQuery(workspacesQuery);
  const nameOf = (id: string) => workspaces.find((item) => item.id === id)?.name ?? "";
  const label = project ? [nameOf(project.workspace), project.name].filter(Boolean).join(" / ") : "All projects";
  return (
    <Menu width={260} position="bottom-start">
      <Menu.Target>
        <Button
          variant="default"
          size="xs"
          leftSection={<IconFolder size={14} aria-hidden />}
          rightSection={<IconChevronDown size={14} aria-hidden />}
          aria-label={`Project: ${label}`}
          maw={{ base: 104, sm: 280 }}
        >
          <Text span inherit truncate>
            {label}
          </Text>
        </Button>
      </Menu.Target>
      <Menu.Dropdown mah={420} style={{ overflowY: "auto" }}>
        <Menu.Item onClick={() => choose(null)} rightSection={project === null && <IconCheck size={14} />}>
          All projects
        </Menu.Item>
        {workspaces.map((workspace) => (
          <div key={workspace.id}>
            <Menu.Label>{workspace.name}</Menu.Label>
            {projects
              .filter((item) => item.workspace === workspace.id)
              .map((item) => (
                <Menu.Item
                  key={item.id}
                  onClick={() => choose(item.id)}
                  rightSection={project?.id === item.id && <IconCheck size={14} />}
                >
                  {item.name}
                </Menu.Item>
              ))}
          </div>
        ))}
        <Menu.Divider />
        <Menu.Item leftSection={<IconPlus size={14} />} onClick={openCreateProject}>
          New project
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}

function openCreateProject(): void {
  const id = modals.open({
    title: "New project",
    children: <CreateProjectForm onDone={() => modals.close(id)} />,
  });
}
