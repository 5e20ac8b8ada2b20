/** The server's field errors, brought to the fields of the form. */
import type { ErrorSchema } from "@rjsf/utils";
import type { FieldError } from "@/lib/api-error";

export interface SortedErrors {
  /** Below `spec`, as the form wants them. */
  spec: ErrorSchema;
  /** Of the other fields, by path (`name`, `resources.pool`). */
  others: Record<string, string>;
  /** Without a field. */
  general: string[];
}

interface Branch {
  __errors?: string[];
  [name: string]: unknown;
}

function put(root: Branch, path: string[], message: string): void {
  let here = root;
  for (const part of path) here = (here[part] ??= {}) as Branch;
  here.__errors = [...(here.__errors ?? []), message];
}

export function sortErrors(errors: FieldError[]): SortedErrors {
  const spec: Branch = {};
  const others: Record<string, string> = {};
  const general: string[] = [];
  for (const { field, message } of errors) {
    const path = field.split(".").filter(Boolean);
    if (path[0] === "spec") put(spec, path.slice(1), message);
    else if (path.length > 0) others[path.join(".")] = message;
    else general.push(message);
  }
  return { spec: spec as ErrorSchema, others, general };
}
