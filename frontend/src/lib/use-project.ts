/** The project that the person works in: remembered by the browser; empty means all of them. */
import { useLocalStorage } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import type { Project } from "./api-types";
import { projectsQuery } from "./queries/projects";

export interface ProjectChoice {
  projects: Project[];
  /** The chosen project, or null for all. */
  project: Project | null;
  /** Where something new goes: the chosen project, else the first there is. */
  target: Project | null;
  choose: (id: string | null) => void;
  isLoading: boolean;
}

export function useProject(): ProjectChoice {
  const [id, setId] = useLocalStorage({ key: "cox-project", defaultValue: "", getInitialValueInEffect: false });
  const { data: projects = [], isLoading } = useQuery(projectsQuery);
  const project = projects.find((item) => item.id === id) ?? null;
  return {
    projects,
    project,
    target: project ?? projects[0] ?? null,
    choose: (next) => setId(next ?? ""),
    isLoading,
  };
}
