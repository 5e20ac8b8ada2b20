import { expect, test } from "vitest";
import { positionsOf, stepsWithin } from "@/components/charts/axis";

const curve = { steps: [10, 20, 30, 40], times: [1_000, 2_000, 3_000, 9_000], values: [4, 3, 2, 1] };
const source = { startMs: 500, tokens: { steps: [20, 40], times: [0, 0], values: [200, 800] } };

test("the axis of time begins with the job, that of tokens is linear between what is known", () => {
  expect(positionsOf("step", curve, source)).toEqual([10, 20, 30, 40]);
  expect(positionsOf("time", curve, source)).toEqual([0.5, 1.5, 2.5, 8.5]);
  expect(positionsOf("tokens", curve, source)).toEqual([100, 200, 500, 800]);
});

test("a window of time or tokens is a range of steps, with a neighbour on either side", () => {
  expect(stepsWithin("step", { from: 10.4, until: 20.2 }, curve, source)).toEqual({ from: 10, until: 21 });
  expect(stepsWithin("time", { from: 1.2, until: 3 }, curve, source)).toEqual({ from: 10, until: 40 });
  expect(stepsWithin("tokens", { from: 600, until: 900 }, curve, source)).toEqual({ from: 30, until: 40 });
  expect(stepsWithin("time", { from: 100, until: 200 }, curve, source)).toBeNull();
  expect(stepsWithin("time", null, curve, source)).toBeNull();
});
