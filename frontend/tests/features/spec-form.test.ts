import { describe, expect, test } from "vitest";
import { draftToYaml, yamlToDraft, type Draft } from "@/features/new-job/draft";
import { draftOf, initialDraft } from "@/features/new-job/initial-draft";
import { sortErrors } from "@/features/new-job/server-errors";
import { layoutOf, prepareSchema, uiSchemaOf, wordsOf } from "@/features/new-job/spec-schema";
import { validateSpec } from "@/features/new-job/spec-validator";

const TRAIN = {
  $defs: {
    LlamaConfig: {
      type: "object",
      title: "LlamaConfig",
      additionalProperties: false,
      properties: {
        source: { const: "config", default: "config", type: "string" },
        width: { type: "integer", minimum: 8, default: 192 },
        kv_heads: { anyOf: [{ type: "integer", minimum: 1 }, { type: "null" }], default: null, title: "KV heads" },
      },
    },
    PretrainedModel: {
      type: "object",
      title: "PretrainedModel",
      properties: {
        source: { const: "pretrained", default: "pretrained", type: "string" },
        model: { type: "string", minLength: 1 },
      },
      required: ["model"],
    },
    Data: { type: "object", properties: { dataset: { type: "string", minLength: 1 } }, required: ["dataset"] },
    Calibration: { type: "object", title: "CalibrationSpec", properties: { dataset: { type: "string" } } },
    Optimizer: { type: "object", properties: { eps: { type: "number", default: 1e-8 } } },
  },
  type: "object",
  title: "TrainSpec",
  properties: {
    kind: { const: "train", default: "train", type: "string" },
    model: {
      title: "Model",
      discriminator: { propertyName: "source", mapping: {} },
      oneOf: [{ $ref: "#/$defs/LlamaConfig" }, { $ref: "#/$defs/PretrainedModel" }],
    },
    data: { $ref: "#/$defs/Data", title: "Data" },
    steps: { type: "integer", minimum: 1, default: 500 },
    a: { type: "integer", default: 1 },
    b: { type: "integer", default: 1 },
    c: { type: "integer", default: 1 },
    seed: { type: "integer", default: 1 },
    optimizer: { $ref: "#/$defs/Optimizer", title: "Optimizer" },
    calibration: { anyOf: [{ $ref: "#/$defs/Calibration" }, { type: "null" }], default: null, title: "Calibration" },
    recipe: { type: "array", items: { oneOf: [{ $ref: "#/$defs/LlamaConfig" }, { $ref: "#/$defs/Data" }] } },
  },
  required: ["data"],
};

const schema = prepareSchema(TRAIN);

describe("the schema made ready for the form", () => {
  test("resolves references, drops null branches and reads class names as words", () => {
    const model = schema.properties?.["model"] as { oneOf: { title: string; properties: Record<string, object> }[] };
    expect(model.oneOf.map((option) => option.title)).toEqual(["Llama config", "Pretrained model"]);
    expect(model.oneOf[0]?.properties["kv_heads"]).toEqual({ type: "integer", minimum: 1, title: "KV heads" });
    expect(JSON.stringify(schema)).not.toContain("$ref");
  });

  test.each([
    ["LlamaConfig", "Llama config"],
    ["AdamWSpec", "AdamW"],
    ["BPETokenizer", "BPE tokenizer"],
    ["CosineSchedule", "Cosine"],
    ["Learning rate schedule", "Learning rate schedule"],
  ])("%s is read as %s", (name, words) => expect(wordsOf(name)).toBe(words));

  test("asks for an optional group as a choice between none and the group", () => {
    const calibration = schema.properties?.["calibration"] as { default: unknown; oneOf: { title: string }[] };
    expect(calibration.oneOf.map((option) => option.title)).toEqual(["None", "Calibration"]);
    expect(calibration.default).toBeNull();
    expect(initialDraft("train", schema, {}).spec["calibration"]).toBeNull();
    expect(uiSchemaOf(schema)["calibration"]).toEqual({ oneOf: [{}, { dataset: { "ui:widget": "dataset" } }] });
  });

  test("asks for the entries of a list as for fields", () => {
    expect(uiSchemaOf(schema)["recipe"]).toEqual({
      items: { oneOf: [{ source: { "ui:widget": "hidden" } }, { dataset: { "ui:widget": "dataset" } }] },
    });
  });

  test("hides constants and picks datasets and models from what there is", () => {
    const ui = uiSchemaOf(schema);
    expect(ui["kind"]).toEqual({ "ui:widget": "hidden" });
    expect(ui["data"]).toEqual({ dataset: { "ui:widget": "dataset" } });
    expect(ui["model"]).toEqual({
      oneOf: [
        { source: { "ui:widget": "hidden" } },
        { source: { "ui:widget": "hidden" }, model: { "ui:widget": "modelVersion" } },
      ],
    });
  });

  test("shows first what the spec names first, and folds the rest", () => {
    expect(layoutOf(schema)).toEqual({
      open: ["model", "data"],
      main: ["steps", "a", "b", "c"],
      advanced: ["seed", "recipe"],
      folded: ["optimizer", "calibration"],
    });
  });

  test("survives a schema that contains itself", () => {
    const tree = { $defs: { T: { type: "object", properties: { t: { $ref: "#/$defs/T" } } } }, $ref: "#/$defs/T" };
    expect(prepareSchema(tree).properties).toBeDefined();
  });
});

describe("validation", () => {
  test("accepts the defaults once what is needed is there", () => {
    const { spec } = initialDraft("train", schema, { dataset: "books" });
    expect(spec).toMatchObject({ kind: "train", data: { dataset: "books" }, steps: 500, model: { source: "config" } });
    expect(validateSpec(schema, spec)).toEqual([]);
  });

  test("names the field that is wrong, and only it", () => {
    const spec = { kind: "train", model: { source: "config", width: 2 }, data: {}, steps: 0 };
    const found = validateSpec(schema, spec);
    expect(found.map((error) => error.property).sort()).toEqual([".data.dataset", ".model.width", ".steps"]);
  });

  test("judges a union by the branch that the data names", () => {
    const spec = { kind: "train", model: { source: "pretrained" }, data: { dataset: "x" } };
    expect(validateSpec(schema, spec).map((error) => error.property)).toEqual([".model.model"]);
  });
});

describe("the YAML side", () => {
  const draft: Draft = {
    name: "first",
    spec: { kind: "train", data: { dataset: "books" }, eps: 1e-8 },
    resources: { pool: "default", nodes: 1, slots_per_node: 2 },
    priority: 3,
  };

  test("is the same job both ways", () => {
    expect(yamlToDraft(draftToYaml(draft), draft)).toEqual({ draft, error: null });
  });

  test("keeps what it does not name", () => {
    const { draft: read } = yamlToDraft("spec: {kind: generate}\nresources: {nodes: 2}", draft);
    expect(read?.name).toBe("first");
    expect(read?.resources).toEqual({ pool: "default", nodes: 2, slots_per_node: 2 });
  });

  test.each([
    ["spec: [", "Flow sequence"],
    ["just text", "A job is a mapping"],
    ["spec: 3", "`spec` must be a mapping"],
    ["spec: {}\nspek: 1", 'There is no "spek" here'],
  ])("says what is wrong with %j", (text, message) => {
    const { error } = yamlToDraft(text, draft);
    expect(error).toContain(message);
  });
});

test("the server's errors go to their fields", () => {
  const sorted = sortErrors([
    { field: "spec.model.width", message: "too small" },
    { field: "resources.slots_per_node", message: "no pool has 9" },
    { field: "", message: "everything is wrong" },
  ]);
  expect(sorted.spec).toEqual({ model: { width: { __errors: ["too small"] } } });
  expect(sorted.others).toEqual({ "resources.slots_per_node": "no pool has 9" });
  expect(sorted.general).toEqual(["everything is wrong"]);
});

test("an earlier job's empty values, which the server writes as null, are no errors in the form", () => {
  const schema = prepareSchema(TRAIN);
  const spec = {
    kind: "train",
    model: { source: "config", width: 64, kv_heads: null },
    data: { dataset: "books" },
    steps: 5,
  };
  const draft = draftOf({
    name: "again",
    spec,
    resources: { pool: "p", nodes: 1, slots_per_node: 1, min_nodes: 1, max_nodes: 1 },
    priority: 0,
  });
  expect(draft.spec["model"]).toEqual({ source: "config", width: 64 });
  expect(draft.resources).toEqual({ pool: "p", nodes: 1, slots_per_node: 1 });
  expect(validateSpec(schema, draft.spec)).toEqual([]);
});
