import { expect, test } from "vitest";
import { differenceText, metricRows } from "@/features/compare/final-metrics";
import type { Series } from "@/lib/api-types";

const series = (key: string, last: number | string, attempt = 1, rank = 0): Series => ({
  attempt,
  rank,
  key,
  n: 1,
  first_step: 1,
  last_step: 1,
  last: last as Series["last"],
  last_time_us: 0,
  min: null,
  max: null,
});

test("the newest attempt's last values, what matters first, without what machines felt", () => {
  const rows = metricRows([
    [series("grad_norm", 0.5), series("loss", 3, 1), series("loss", 2, 2), series("host/cpu_pct", 90)],
    [series("loss", "NaN"), series("loss", 7, 1, 1)],
  ]);
  expect(rows).toEqual([
    { key: "loss", values: [2, Number.NaN] },
    { key: "grad_norm", values: [0.5, null] },
  ]);
});

test("a difference says its sign and its share of the baseline", () => {
  expect(differenceText(2.2, 2)).toBe("+0.2 (+10%)");
  expect(differenceText(1, 2)).toBe("-1 (-50%)");
  expect(differenceText(2, 2)).toBe("same");
  expect(differenceText(1, 0)).toBe("+1");
  expect(differenceText(null, 2)).toBe("");
  expect(differenceText(Number.NaN, 2)).toBe("");
});
