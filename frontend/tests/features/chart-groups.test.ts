import { expect, test } from "vitest";
import { chartGroups } from "@/features/jobs/chart-groups";

test("known curves gather, ranks are told apart, unknown ones get a chart of their own", () => {
  const groups = chartGroups([
    { key: "novel_metric", rank: 0 },
    { key: "tokens_per_s", rank: 0 },
    { key: "validation_loss", rank: 0 },
    { key: "loss", rank: 0 },
    { key: "loss", rank: 0 }, // the same series of a second attempt
    { key: "step_time_s", rank: 0 },
    { key: "step_time_s", rank: 1 },
  ]);
  expect(groups.map((group) => group.title)).toEqual(["Loss", "Throughput", "Step time and its parts", "Novel metric"]);
  expect(groups[0]?.lines.map((line) => line.label)).toEqual(["Loss", "Validation loss"]);
  expect(groups[2]?.lines.map((line) => line.label)).toEqual(["Step time, rank 0", "Step time, rank 1"]);
});
