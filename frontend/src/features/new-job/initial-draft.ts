/** What the form begins with: the schema's defaults, and what a link brought along. */
import { getDefaultFormState, type RJSFSchema } from "@rjsf/utils";
import { specValidator } from "./spec-validator";
import type { Job } from "@/lib/api-types";
import type { Draft, Spec } from "./draft";

export interface Preset {
  dataset?: string;
  model?: string;
}

/** The form knows no null: a value that is empty is left out, which means the same. */
function withoutNulls(spec: Spec): Spec {
  const filled = Object.entries(spec).filter(([, value]) => value !== null);
  return Object.fromEntries(
    filled.map(([key, value]) => [
      key,
      typeof value === "object" && !Array.isArray(value) ? withoutNulls(value as Spec) : value,
    ]),
  );
}

/** The same again: a job that was submitted, to be changed before it runs. */
export function draftOf({ name, spec, resources, priority }: Pick<Job, keyof Draft>): Draft {
  const { min_nodes: least, max_nodes: most, ...place } = resources;
  // a job that is not elastic says so by equal bounds: they must not hold its copy to the same number of nodes
  const bounds = least === most ? {} : { min_nodes: least, max_nodes: most };
  return { name, spec: withoutNulls(spec), resources: { ...place, ...bounds }, priority };
}

export function initialDraft(kind: string, schema: RJSFSchema, preset: Preset): Draft {
  const spec = getDefaultFormState(specValidator, schema, { kind }, schema) as Spec;
  const data = spec["data"];
  if (preset.dataset !== undefined && typeof data === "object") spec["data"] = { ...data, dataset: preset.dataset };
  if (preset.model !== undefined && schema.properties?.["model"] !== undefined) {
    const isPlain = typeof schema.properties["model"] === "object" && schema.properties["model"].type === "string";
    if (isPlain) spec["model"] = preset.model;
  }
  return {
    name: preset.model ?? preset.dataset ?? kind,
    spec,
    resources: { pool: "default", nodes: 1, slots_per_node: 1 },
    priority: 0,
  };
}
