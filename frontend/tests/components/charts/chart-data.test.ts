import { expect, test } from "vitest";
import { align, smooth } from "@/components/charts/chart-data";

test("curves with positions of their own share one axis; only real gaps break a line", () => {
  const train = { xs: [1, 2, 3], values: [3, Number.NaN, 1] };
  const validation = { xs: [2, 4], values: [5, 6] };
  expect(align([train, validation], false)).toEqual([
    [1, 2, 3, 4],
    [3, null, 1, undefined],
    [undefined, 5, undefined, 6],
  ]);
});

test("a log scale leaves out what it cannot show", () => {
  expect(align([{ xs: [1, 2], values: [0, 2] }], true)).toEqual([
    [1, 2],
    [null, 2],
  ]);
});

test("smoothing starts at the first value and passes over gaps", () => {
  const smoothed = smooth([4, Number.NaN, 4, 0], 0.5);
  expect(smoothed[0]).toBeCloseTo(4);
  expect(smoothed[1]).toBeNaN();
  expect(smoothed[2]).toBeCloseTo(4);
  expect(smoothed[3]).toBeGreaterThan(0);
  expect(smoothed[3]).toBeLessThan(4);
});
