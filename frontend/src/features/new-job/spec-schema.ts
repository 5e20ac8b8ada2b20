/**
 * A kind's JSON Schema made ready for the form: references resolved, optional values without their `null`
 * branch, class names as words. What the server checks is the schema it sent; this only changes how it is asked.
 */
import type { RJSFSchema, UiSchema } from "@rjsf/utils";

type Json = Record<string, unknown>;

const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** `LlamaConfig` as `Llama config`, `AdamWSpec` as `AdamW`. */
export function wordsOf(name: string): string {
  if (/\s/.test(name)) return name;
  const words = name
    .replace(/(Spec|Schedule)$/, "")
    .replaceAll(/([a-z0-9])([A-Z][a-z])/g, "$1 $2")
    .replaceAll(/([A-Z])([A-Z][a-z])/g, "$1 $2");
  const [first = name, ...rest] = words.split(" ");
  return [first, ...rest.map((word) => (/^[A-Z][a-z]/.test(word) ? word.toLowerCase() : word))].join(" ");
}

function resolveReference(reference: string, root: Json): Json {
  let here: unknown = root;
  for (const part of reference.replace(/^#\//, "").split("/")) here = isObject(here) ? here[part] : undefined;
  return isObject(here) ? here : {};
}

function without(schema: Json, keys: string[]): Json {
  return Object.fromEntries(Object.entries(schema).filter(([key]) => !keys.includes(key)));
}

/** What an optional group may be besides itself. */
const NONE: Json = { type: "null", title: "None" };

function isGroup(schema: Json): boolean {
  return "properties" in schema || "oneOf" in schema;
}

/** An optional value is asked for as the value itself; an optional group as a choice between none and the group. */
function withoutNull(schema: Json, root: Json): Json {
  const options: unknown = schema["anyOf"];
  if (!Array.isArray(options)) return schema;
  const real = options.filter((option) => !(isObject(option) && option["type"] === "null"));
  const only: unknown = real[0];
  if (real.length !== 1 || !isObject(only) || options.length !== 2) return schema;
  const fallback = schema["default"];
  const target = typeof only["$ref"] === "string" ? resolveReference(only["$ref"], root) : only;
  if (isGroup(target)) return { ...without(schema, ["anyOf"]), oneOf: [NONE, only] };
  const rest = without(schema, ["anyOf", "default"]);
  // an empty field is left out of the spec, which means the same as null
  return fallback === null || fallback === undefined ? { ...only, ...rest } : { ...only, ...rest, default: fallback };
}

function prepare(value: unknown, root: Json, trail: string[]): unknown {
  if (Array.isArray(value)) return value.map((item) => prepare(item, root, trail));
  if (!isObject(value)) return value;
  const { $ref: reference, ...own } = withoutNull(value, root);
  if (typeof reference === "string") {
    if (trail.includes(reference)) return {}; // a recursive schema: its depth is edited as YAML
    const target = resolveReference(reference, root);
    const title = own["title"] ?? target["title"];
    return prepare({ ...target, ...own, ...(title === undefined ? {} : { title }) }, root, [...trail, reference]);
  }
  const { discriminator, ...rest } = own;
  const entries = Object.entries(rest).map(([key, item]) => [key, prepare(item, root, trail)] as const);
  const prepared: Json = Object.fromEntries(entries);
  if (isObject(discriminator)) prepared["discriminator"] = { propertyName: discriminator["propertyName"] };
  if (typeof prepared["title"] === "string") prepared["title"] = wordsOf(prepared["title"]);
  return prepared;
}

export function prepareSchema(schema: Json): RJSFSchema {
  return prepare(without(schema, ["$defs", "title", "description"]), schema, []) as RJSFSchema;
}

const PICKERS: Record<string, string> = {
  dataset: "dataset",
  model: "modelVersion",
  reference: "modelVersion",
  prompt: "textarea",
};

function propertiesOf(schema: Json): [string, Json][] {
  const properties = schema["properties"];
  return isObject(properties)
    ? Object.entries(properties).filter((entry): entry is [string, Json] => isObject(entry[1]))
    : [];
}

function uiOf(name: string, property: Json): Record<string, unknown> | undefined {
  const picker = PICKERS[name];
  if ("const" in property) return { "ui:widget": "hidden" };
  if (property["type"] === "string" && picker !== undefined) return { "ui:widget": picker };
  if (property["type"] === "boolean") return { "ui:widget": "checkbox" };
  if (Array.isArray(property["oneOf"])) {
    return { oneOf: property["oneOf"].map((option) => (isObject(option) ? uiSchemaOf(option) : {})) };
  }
  if ("properties" in property) return uiSchemaOf(property);
  const items = property["items"];
  const each = isObject(items) ? uiOf("", items) : undefined;
  return each && { items: each };
}

/** How each field is asked: constants not at all, datasets and models by picking from what there is. */
export function uiSchemaOf(schema: Json): UiSchema {
  const asked = propertiesOf(schema).map(([name, property]) => [name, uiOf(name, property)] as const);
  return Object.fromEntries(asked.filter(([, ui]) => ui !== undefined)) as UiSchema;
}

/** Optional plain values of the top level beyond these are folded away: a spec names first what matters. */
const SHOWN_OPTIONAL_VALUES = 4;

export interface SpecLayout {
  /** Plain values in sight. */
  main: string[];
  /** Groups in sight, then groups that are folded. */
  open: string[];
  folded: string[];
  /** Plain values that are folded. */
  advanced: string[];
}

/** Split the top level: groups that stand before the first plain value are open, later ones folded. */
export function layoutOf(schema: Json): SpecLayout {
  const required = new Set(Array.isArray(schema["required"]) ? schema["required"] : []);
  const layout: SpecLayout = { main: [], open: [], folded: [], advanced: [] };
  let optional = 0;
  for (const [name, property] of propertiesOf(schema)) {
    if ("const" in property) continue;
    if (isGroup(property)) (layout.main.length === 0 || required.has(name) ? layout.open : layout.folded).push(name);
    else if (required.has(name)) layout.main.push(name);
    else (optional++ < SHOWN_OPTIONAL_VALUES ? layout.main : layout.advanced).push(name);
  }
  return layout;
}
