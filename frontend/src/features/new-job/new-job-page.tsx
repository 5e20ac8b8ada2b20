/** Get it right the first time: what kind, its spec, where it runs; the same as YAML beside it. */
import { Button, Stack } from "@mantine/core";
import { IconFolderPlus } from "@tabler/icons-react";
import { useSuspenseQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { useSearchParams } from "react-router";
import { CreateProjectForm } from "@/components/create-project-form";
import { EmptyState } from "@/components/empty-state";
import { Page } from "@/components/page";
import { Panel } from "@/components/panel";
import { catalogQuery } from "@/lib/queries/catalog";
import { projectsQuery } from "@/lib/queries/projects";
import { useProject } from "@/lib/use-project";
import { JobForm } from "./job-form";
import { KindCards } from "./kind-cards";

/** What most people come for. */
const FIRST_KIND = "train";

export default function NewJobPage() {
  const { data: catalog } = useSuspenseQuery(catalogQuery);
  useSuspenseQuery(projectsQuery);
  const { target } = useProject();
  const [search, setSearch] = useSearchParams();
  const wanted = search.get("kind") ?? FIRST_KIND;
  const entry = catalog.find((item) => item.kind === wanted) ?? catalog[0];
  const preset = useMemo(() => presetOf(search), [search]);
  const pick = (kind: string) => setSearch({ kind }, { replace: true });

  if (!target) {
    return (
      <Page title="New job">
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
  return (
    <Page
      title="New job"
      description={`In project ${target.name}`}
      parents={[{ label: "Jobs", to: "/jobs" }]}
      actions={
        <Button type="submit" form="new-job">
          Submit job
        </Button>
      }
    >
      <Stack gap="md">
        <KindCards catalog={catalog} kind={entry?.kind ?? ""} onPick={pick} />
        {entry && <JobForm key={entry.kind} entry={entry} project={target} preset={preset} />}
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
