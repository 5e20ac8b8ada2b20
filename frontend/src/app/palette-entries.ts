/** What the command palette offers for a query: jobs, models, datasets, pages and actions. */
import { useMantineColorScheme } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { IconBox, IconDatabase, IconListDetails, IconMoon, IconPlus, IconSun, type Icon } from "@tabler/icons-react";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useNavigate } from "react-router";
import { JOB_STATES } from "@/lib/job-state";
import { datasetsQuery } from "@/lib/queries/datasets";
import { jobsQuery } from "@/lib/queries/jobs";
import { modelsQuery } from "@/lib/queries/models";
import { PAGES } from "./pages";

export interface Entry {
  id: string;
  label: string;
  hint: string;
  icon: Icon;
  run: () => void;
}

export interface EntryGroup {
  label: string;
  entries: Entry[];
}

const MOST = 6;

const holds = (text: string, query: string): boolean => text.toLowerCase().includes(query.toLowerCase());

/** What has a name on the server, where it holds the query: never what was found for another one. */
function useFound(query: string, go: (to: string) => void): EntryGroup[] {
  const [search] = useDebouncedValue(query, 150);
  const jobs = useQuery({ ...jobsQuery({ search, page_size: MOST }), placeholderData: keepPreviousData });
  const isAnswer = search === query && !jobs.isPlaceholderData;
  const models = useQuery(modelsQuery());
  const datasets = useQuery(datasetsQuery());
  const named = (items: { id: string; name: string; project_name: string }[] | undefined, to: string, icon: Icon) =>
    (items ?? [])
      .filter((item) => holds(item.name, query))
      .slice(0, MOST)
      .map(({ id, name, project_name: hint }) => ({ id, label: name, hint, icon, run: () => go(`${to}/${id}`) }));
  return [
    {
      label: "Jobs",
      entries: (jobs.data?.jobs ?? [])
        .filter((job) => isAnswer || holds(job.name, query))
        .map((job) => ({
          id: job.id,
          label: `${job.name} #${job.number}`,
          hint: JOB_STATES[job.state].label,
          icon: IconListDetails,
          run: () => go(`/jobs/${job.id}`),
        })),
    },
    { label: "Models", entries: named(models.data, "/models", IconBox) },
    { label: "Datasets", entries: named(datasets.data, "/datasets", IconDatabase) },
  ];
}

function useCommands(query: string, go: (to: string) => void): EntryGroup[] {
  const { setColorScheme } = useMantineColorScheme();
  const pages = PAGES.flatMap(({ path, rail }): Entry[] =>
    rail ? [{ id: path, label: rail.label, hint: "Page", icon: rail.icon, run: () => go(path) }] : [],
  );
  const actions: Entry[] = [
    { id: "new-job", label: "New job", hint: "Action", icon: IconPlus, run: () => go("/jobs/new") },
    { id: "light", label: "Light theme", hint: "Action", icon: IconSun, run: () => setColorScheme("light") },
    { id: "dark", label: "Dark theme", hint: "Action", icon: IconMoon, run: () => setColorScheme("dark") },
  ];
  const matching = (entries: Entry[]) => entries.filter((entry) => holds(entry.label, query));
  return [
    { label: "Actions", entries: matching(actions) },
    { label: "Pages", entries: matching(pages) },
  ];
}

/** Groups that have entries, in the order they are shown. */
export function usePaletteEntries(query: string): EntryGroup[] {
  const navigate = useNavigate();
  const go = (to: string) => void navigate(to);
  const found = useFound(query, go);
  return [...useCommands(query, go), ...found].filter((group) => group.entries.length > 0);
}
