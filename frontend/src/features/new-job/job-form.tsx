/** One kind's form and its YAML, and the way to the server. */
import { Alert, Grid, Stack } from "@mantine/core";
import { lazy, Suspense, useMemo, useRef, useState, type SyntheticEvent } from "react";
import { useNavigate } from "react-router";
import { RowsSkeleton } from "@/components/loading";
import { notifyDone } from "@/components/notify";
import { Panel } from "@/components/panel";
import { ApiError } from "@/lib/api-error";
import type { CatalogEntry, Project } from "@/lib/api-types";
import { useSubmitJob } from "@/lib/queries/jobs";
import { randomId } from "@/lib/random-id";
import type { Draft } from "./draft";
import { EstimatePane } from "./estimate-pane";
import { initialDraft, type Preset } from "./initial-draft";
import { PlacementFields } from "./placement-fields";
import { sortErrors } from "./server-errors";
import { prepareSchema, uiSchemaOf } from "./spec-schema";
import { validateSpec } from "./spec-validator";
import { useDraft } from "./use-draft";
import { YamlPane } from "./yaml-pane";

const SpecForm = lazy(() => import("./spec-form"));

interface JobFormProps {
  entry: CatalogEntry;
  project: Project;
  preset: Preset;
  /** What the form begins with, where that is an earlier job and not the defaults. */
  start: Draft | null;
}

export function JobForm({ entry, project, preset, start }: JobFormProps) {
  const schema = useMemo(() => prepareSchema(entry.schema), [entry.schema]);
  const uiSchema = useMemo(() => uiSchemaOf(schema), [schema]);
  const [initial] = useState(() => start ?? initialDraft(entry.kind, schema, preset));
  const { draft, yaml, yamlError, change, changeYaml } = useDraft(initial);
  const [localErrors, setLocalErrors] = useState<{ field: string; message: string }[]>([]);
  const submit = useSubmitJob();
  const navigate = useNavigate();
  const attempt = useRef({ body: "", key: "" });

  const refusal = submit.error instanceof ApiError ? submit.error : null;
  const errors = sortErrors([...localErrors, ...(refusal?.fieldErrors ?? [])]);

  const send = (event: SyntheticEvent) => {
    event.preventDefault();
    submit.reset();
    const found = validateSpec(schema, draft.spec).map(({ property, message }) => ({
      field: `spec${property ?? ""}`,
      message: message ?? "",
    }));
    if (!draft.name.trim()) found.push({ field: "name", message: "A job needs a name." });
    setLocalErrors(found);
    if (found.length > 0 || yamlError !== null) return;
    const body = { project: project.id, ...draft };
    // The same job sent twice (a second click, a lost answer) is one job; a changed one is another.
    const text = JSON.stringify(body);
    if (attempt.current.body !== text) attempt.current = { body: text, key: randomId() };
    submit.mutate(
      { body, idempotencyKey: attempt.current.key },
      {
        onSuccess: (job) => {
          notifyDone(`Submitted ${job.name} #${job.number}.`);
          void navigate(`/jobs/${job.id}`);
        },
      },
    );
  };
  const hasErrors = localErrors.length > 0 || submit.error !== null;
  return (
    <form id="new-job" onSubmit={send} noValidate data-testid="new-job-form" aria-busy={submit.isPending}>
      <Stack gap="md">
        {hasErrors && (
          <Alert role="alert" color="red" title="Not submitted" data-testid="submit-errors">
            {submit.error?.message ?? "Some fields need attention."} {refusal?.remedy}
            {[...localErrors, ...(refusal?.fieldErrors ?? [])].map(({ field, message }) => (
              <div key={`${field} ${message}`}>{field ? `${field}: ${message}` : message}</div>
            ))}
          </Alert>
        )}
        <Panel title="Name and place">
          <PlacementFields draft={draft} onChange={change} errors={errors.others} />
        </Panel>
        <Grid gap="md">
          <Grid.Col span={{ base: 12, lg: 8 }}>
            <Suspense fallback={<RowsSkeleton />}>
              <SpecForm
                schema={schema}
                uiSchema={uiSchema}
                spec={draft.spec}
                onChange={(spec) => change({ spec })}
                serverErrors={errors.spec}
              />
            </Suspense>
          </Grid.Col>
          <Grid.Col span={{ base: 12, lg: 4 }}>
            <Stack gap="md">
              <EstimatePane project={project.id} draft={draft} />
              <YamlPane text={yaml} error={yamlError} onChange={changeYaml} />
            </Stack>
          </Grid.Col>
        </Grid>
      </Stack>
    </form>
  );
}
