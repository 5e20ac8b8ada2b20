import { expect, test } from "vitest";
import { chartGroups } from "@/components/charts/chart-groups";

const SERIES = [
  { key: "novel_metric", rank: 0 },
  { key: "tokens_per_s", rank: 0 },
  { key: "validation_loss", rank: 0 },
  { key: "loss", rank: 0 },
  { key: "loss", rank: 0 }, // the same series of a second attempt
  { key: "step_time_s", rank: 0 },
  { key: "step_time_s", rank: 1 },
  { key: "loss_local", rank: 0 },
  { key: "loss_local", rank: 1 },
  { key: "mfu_pct", rank: 0 },
  { key: "host/cpu_pct", rank: 0 },
  { key: "gpu/0/power_w", rank: 0 },
];

test("known curves gather, ranks are told apart, unknown ones get a chart of their own", () => {
  const groups = chartGroups(SERIES, { area: "training", hasEachRank: true });
  expect(groups.map((group) => group.title)).toEqual([
    "Loss",
    "Throughput",
    "Step time and its parts",
    "Loss of each rank",
    "Model FLOPs utilisation",
    "Novel metric",
  ]);
  expect(groups[0]?.lines.map((line) => line.label)).toEqual(["Loss", "Validation loss"]);
  expect(groups[2]?.lines.map((line) => line.label)).toEqual(["Step time, rank 0", "Step time, rank 1"]);
});

test("one line a metric where not each rank is asked for, but for what is about the ranks", () => {
  const groups = chartGroups(SERIES, { area: "training", hasEachRank: false });
  const labels = (id: string) => groups.find((group) => group.id === id)?.lines.map((line) => line.label);
  expect(labels("step_time")).toEqual(["Step time, rank 0"]);
  expect(labels("loss_local")).toEqual(["Loss local, rank 0", "Loss local, rank 1"]);
});

test("what the machines feel is apart from how training goes", () => {
  const groups = chartGroups(SERIES, { area: "system", hasEachRank: true });
  expect(groups.map((group) => group.title)).toEqual(["Utilisation", "Power"]);
});
