import { expect, test } from "vitest";
import {
  formatAgo,
  formatBytes,
  formatCount,
  formatDuration,
  formatNamed,
  formatNumber,
  formatPct,
  humanize,
  toNumber,
} from "@/lib/format";

test.each([
  [null, "-"],
  [0, "0"],
  [3.14159, "3.142"],
  [0.00012, "1.20e-4"],
  [12_345.6, "12,346"],
  [1e9, "1.00e+9"],
  [Number.NaN, "NaN"],
])("number %s is %s", (value, text) => expect(formatNumber(value)).toBe(text));

test("counts, bytes, shares", () => {
  expect(formatCount(1_234_567)).toBe("1.23M");
  expect(formatBytes(1_536)).toBe("1.5 KiB");
  expect(formatBytes(7)).toBe("7 B");
  expect(formatPct(0.999)).toBe("99%"); // not 100 before it is
});

test("durations have two units", () => {
  expect(formatDuration(3_700)).toBe("1h 1m");
  expect(formatDuration(59.6)).toBe("1m");
  expect(formatDuration(0)).toBe("0s");
});

test("ages have one unit", () => {
  const now = Date.parse("2026-01-02T00:00:00Z");
  expect(formatAgo("2026-01-01T00:00:00Z", now)).toBe("1 d ago");
  expect(formatAgo("2026-01-01T23:59:58Z", now)).toBe("just now");
  expect(formatAgo("2026-01-02T00:00:30Z", now)).toBe("just now"); // a clock that is ahead
});

test("keys become words, names of non-finite values become numbers", () => {
  expect(humanize("grad_norm")).toBe("Grad norm");
  expect(toNumber("NaN")).toBeNaN();
  expect(toNumber("-Infinity")).toBe(Number.NEGATIVE_INFINITY);
  expect(toNumber("12")).toBeNull();
});

test("figures that have only a key are sizes where the key says so", () => {
  expect(formatNamed("bytes_after", 1_162_704)).toBe("1.11 MiB");
  expect(formatNamed("files", 5)).toBe("5");
});
