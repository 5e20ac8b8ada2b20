/** Get it right the first time: what kind, its spec, where it runs; the same as YAML beside it. */
import { Button, Stack } from "@mantine/core";
import { IconFolderPlus } from "@tabler/icons-react";
import { useSuspenseQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { CreateProjectForm } from "@/components/create-project-form";
import { EmptyState } from "@/components/empty-state";
import { Page } from "@/components/page";
import { Panel } from "@/components/panel";
import type { Job, Project } from "@/lib/api-types";
import { catalogQuery } from "@/lib/queries/catalog";
import { jobQuery } from "@/lib/queries/jobs";
import { projectsQuery } from "@/lib/queries/projects";
import { useProject } from "@/lib/use-project";
import { useSearch } from "@/lib/use-search";
import { draftOf } from "./initial-draft";
import { JobForm } from "./job-form";
import { KindCards } from "./kind-cards";

/** What most people come for. */
const FIRST_KIND = "train";
const PARENTS = [{ label: "Jobs", to: "/jobs" }];

export default function NewJobPage() {
  useSuspenseQuery(projectsQuery);
  const { projects, target } = useProject();
  const [search] = useSearch();
  const from = search.get("from");
  if (from !== null) return <AsBefore key={from} from={from} projects={projects} />;
  if (target) return <NewJob project={target} origin={null} />;
  return (
    <Page title="New job" parents={PARENTS}>
      <Panel>
        <EmptyState
          icon={IconFolderPlus}
          title="First, a project"
          description="Jobs, datasets and models of one piece of work live together in a project."
          action={<CreateProjectForm />}
        />
      </Panel>
    </Page>
  );
}

/** The form filled in with an earlier job, for its project. */
function AsBefore({ from, projects }: { from: string; projects: Project[] }) {
  const { data: origin } = useSuspenseQuery(jobQuery(from));
  const { target } = useProject();
  const project = projects.find((item) => item.id === origin.project) ?? target;
  return project && <NewJob project={project} origin={origin} />;
}

function NewJob({ project, origin }: { project: Project; origin: Job | null }) {
  const { data: catalog } = useSuspenseQuery(catalogQuery);
  const [search, editSearch] = useSearch();
  const wanted = origin?.kind ?? search.get("kind") ?? FIRST_KIND;
  const entry = catalog.find((item) => item.kind === wanted) ?? catalog[0];
  const preset = useMemo(() => presetOf(search), [search]);
  const pick = (kind: string) =>
    editSearch((next) => {
      for (const name of [...next.keys()]) next.delete(name); // what a link brought along was for another kind
      next.set("kind", kind);
    });
  return (
    <Page
      title="New job"
      description={
        origin ? `As ${origin.name} #${origin.number}, in project ${project.name}` : `In project ${project.name}`
      }
      parents={PARENTS}
      actions={
        <Button type="submit" form="new-job">
          Submit job
        </Button>
      }
    >
      <Stack gap="md">
        <KindCards catalog={catalog} kind={entry?.kind ?? ""} onPick={pick} />
        {entry && (
          <JobForm
            key={entry.kind}
            entry={entry}
            project={project}
            preset={preset}
            start={origin ? draftOf(origin) : null}
          />
        )}
      </Stack>
    </Page>
  );
}

/** Values that a link brings along (`?kind=train&dataset=books`, `?kind=generate&model=tiny_v1`). */
function presetOf(search: URLSearchParams): { dataset?: string; model?: string } {
  const dataset = search.get("dataset");
  const model = search.get("model");
  return { ...(dataset ? { dataset } : {}), ...(model ? { model } : {}) };
}
