import { expect, test } from "vitest";
import { differingParameters } from "@/lib/spec-diff";

const job = (spec: Record<string, unknown>, slots = 1) => ({
  spec,
  resources: { pool: "default", nodes: 1, slots_per_node: slots, min_nodes: 1, max_nodes: 1 },
  priority: 0,
});

test("only what differs is named, with its whole path", () => {
  const found = differingParameters([
    job({ kind: "train", steps: 10, optimizer: { kind: "adamw", learning_rate: 0.1 }, output_model: null }),
    job({ kind: "train", steps: 10, optimizer: { kind: "adamw", learning_rate: 0.2 }, layers: [1, 2] }, 2),
  ]);
  expect(found).toEqual([
    { path: "optimizer.learning_rate", values: [0.1, 0.2] },
    { path: "resources.slots_per_node", values: [1, 2] },
    { path: "layers", values: [undefined, "[1,2]"] },
  ]);
});

test("one job differs from nothing", () => {
  expect(differingParameters([job({ steps: 1 })])).toEqual([]);
});
