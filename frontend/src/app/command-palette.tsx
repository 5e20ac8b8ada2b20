/** Ctrl-K: jobs, models, datasets, pages and actions, by the first letters of what they are called. */
import { useMantineColorScheme } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { Spotlight } from "@mantine/spotlight";
import "@mantine/spotlight/styles.css";
import { IconBox, IconDatabase, IconListDetails, IconMoon, IconPlus, IconSun, type Icon } from "@tabler/icons-react";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useNavigate } from "react-router";
import { JOB_STATES } from "@/lib/job-state";
import { datasetsQuery } from "@/lib/queries/datasets";
import { jobsQuery } from "@/lib/queries/jobs";
import { modelsQuery } from "@/lib/queries/models";
import { paletteStore } from "./palette-store";
import { PAGES } from "./pages";

interface Entry {
  id: string;
  label: string;
  hint: string;
  icon: Icon;
  run: () => void;
}

interface EntryGroup {
  label: string;
  entries: Entry[];
}

const MOST = 6;

const holds = (text: string, query: string): boolean => text.toLowerCase().includes(query.toLowerCase());

/** What has a name on the server, where it holds the query. */
function useFound(query: string, go: (to: string) => void): EntryGroup[] {
  const [search] = useDebouncedValue(query, 150);
  const jobs = useQuery({ ...jobsQuery({ search, page_size: MOST }), placeholderData: keepPreviousData });
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
      entries: (jobs.data?.jobs ?? []).map((job) => ({
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

export default function CommandPalette() {
  const [query, setQuery] = useState("");
  return (
    <Spotlight.Root
      store={paletteStore}
      query={query}
      onQueryChange={setQuery}
      shortcut={null}
      scrollable
      maxHeight={480}
      attributes={{ content: { "aria-label": "Command palette" } }}
    >
      <Spotlight.Search placeholder="Find a job, model, dataset, page or action" aria-label="Search everything" />
      <Results query={query.trim()} />
    </Spotlight.Root>
  );
}

/** Mounted while the palette is open: nothing is asked of the server before. */
function Results({ query }: { query: string }) {
  const navigate = useNavigate();
  const go = (to: string) => void navigate(to);
  const found = useFound(query, go);
  const groups = [...useCommands(query, go), ...found].filter((group) => group.entries.length > 0);
  return (
    <Spotlight.ActionsList>
      {groups.map((group) => (
        <Spotlight.ActionsGroup key={group.label} label={group.label}>
          {group.entries.map(({ id, label, hint, icon: Symbol, run }) => (
            <Spotlight.Action
              key={id}
              label={label}
              description={hint}
              leftSection={<Symbol size={18} stroke={1.6} aria-hidden />}
              onClick={run}
            />
          ))}
        </Spotlight.ActionsGroup>
      ))}
      {groups.length === 0 && <Spotlight.Empty>Nothing is called that.</Spotlight.Empty>}
    </Spotlight.ActionsList>
  );
}
