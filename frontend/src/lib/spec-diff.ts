/** Specs side by side: every value with its path, and only the paths whose values differ. */
import type { Job } from "./api-types";

type Leaf = string | number | boolean | null;

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function collect(value: unknown, path: string, into: Map<string, Leaf>): void {
  if (isObject(value)) {
    for (const [key, item] of Object.entries(value)) collect(item, path ? `${path}.${key}` : key, into);
  } else if (Array.isArray(value)) into.set(path, JSON.stringify(value));
  else if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") into.set(path, value);
  else if (value === null) into.set(path, null);
}

/** What was asked for in a job, by path: `optimizer.learning_rate`. */
export function parametersOf(job: Pick<Job, "spec" | "resources" | "priority">): Map<string, Leaf> {
  const found = new Map<string, Leaf>();
  collect(job.spec, "", found);
  collect(job.resources, "resources", found);
  found.set("priority", job.priority);
  return found;
}

export interface DifferingParameter {
  path: string;
  /** One value a job, in order; undefined where the job has no such parameter. */
  values: (Leaf | undefined)[];
}

/** The parameters that not all jobs share. A value left out and one that is null mean the same. */
export function differingParameters(jobs: Pick<Job, "spec" | "resources" | "priority">[]): DifferingParameter[] {
  const parameters = jobs.map(parametersOf);
  const paths = [...new Set(parameters.flatMap((found) => [...found.keys()]))];
  return paths
    .map((path) => ({ path, values: parameters.map((found) => found.get(path)) }))
    .filter(({ values }) => new Set(values.map((value) => value ?? null)).size > 1);
}

export function parameterText(value: Leaf | undefined): string {
  return value === undefined || value === null ? "-" : String(value);
}
