import { expect, test } from "vitest";
import { holdingOf, replicasOf } from "@/features/new-job/mesh-layout";

test("ranks stand where the mesh puts them: the last axis runs fastest", () => {
  const mesh = { pp: 2, dp_replicate: 2, dp_shard: 1, tp: 2 };
  const ranks = replicasOf(mesh).map(({ stages }) => stages.map((places) => places.map(({ rank }) => rank)));
  expect(ranks).toEqual([
    [
      [0, 1],
      [4, 5],
    ],
    [
      [2, 3],
      [6, 7],
    ],
  ]);
  const last = replicasOf(mesh)[1]?.stages[1]?.[1];
  expect(last && holdingOf(last, mesh)).toBe("stage 2 of 2, tensor part 2 of 2");
});

test("shards of one copy come before the next copy", () => {
  const mesh = { pp: 1, dp_replicate: 2, dp_shard: 2, tp: 1 };
  expect(replicasOf(mesh).map(({ stages }) => stages[0]?.map(({ rank }) => rank))).toEqual([
    [0, 1],
    [2, 3],
  ]);
  expect(holdingOf({ rank: 3, stage: 0, part: 0, shard: 1 }, mesh)).toBe("shard 2 of 2");
  expect(holdingOf({ rank: 0, stage: 0, part: 0, shard: 0 }, { ...mesh, dp_shard: 1 })).toBe("the whole model");
});
