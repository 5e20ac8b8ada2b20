/** A job on its way to being submitted, and the same as YAML. */
import { parseDocument, stringify } from "yaml";
import type { Resources } from "@/lib/api-types";

export type Spec = Record<string, unknown>;

export interface Draft {
  name: string;
  spec: Spec;
  /** Bounds make the job elastic; without them it keeps its number of nodes. */
  resources: Omit<Resources, "min_nodes" | "max_nodes"> & { min_nodes?: number | null; max_nodes?: number | null };
  priority: number;
}

export type ParsedDraft = { draft: Draft; error: null } | { draft: null; error: string };

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

export function draftToYaml(draft: Draft): string {
  const { name, priority, resources, spec } = draft;
  return stringify({ name, resources, priority, spec }, { lineWidth: 0 });
}

const KEYS = new Set(["name", "resources", "priority", "spec"]);

function problemOf(value: Record<string, unknown>): string | null {
  const unknown = Object.keys(value).find((key) => !KEYS.has(key));
  if (unknown !== undefined) return `There is no "${unknown}" here; possible are name, resources, priority and spec.`;
  if (!isObject(value["spec"])) return "`spec` must be a mapping.";
  if (value["resources"] !== undefined && !isObject(value["resources"])) return "`resources` must be a mapping.";
  return null;
}

/** Read the YAML pane. What is left out keeps the value it has in `base`. */
export function yamlToDraft(text: string, base: Draft): ParsedDraft {
  const document = parseDocument(text);
  const [problem] = document.errors;
  if (problem) return { draft: null, error: problem.message.split("\n")[0] ?? "This is not YAML." };
  const value: unknown = document.toJS({ maxAliasCount: 50 });
  if (!isObject(value)) return { draft: null, error: "A job is a mapping with name, resources, priority and spec." };
  const refusal = problemOf(value);
  if (refusal !== null) return { draft: null, error: refusal };
  const { name, priority, resources, spec } = value;
  return {
    draft: {
      name: typeof name === "string" || typeof name === "number" ? String(name) : base.name,
      priority: typeof priority === "number" ? priority : base.priority,
      resources: { ...base.resources, ...(resources as Partial<Draft["resources"]> | undefined) },
      spec: spec as Spec,
    },
    error: null,
  };
}
