/** What a curve is drawn over: optimizer steps, tokens seen, or time since the start. */
import { formatCount, formatDuration, formatNumber } from "@/lib/format";
import type { CurveData, StepWindow } from "@/lib/live/curve";

export type AxisKind = "step" | "tokens" | "time";

/** A part of the axis, in its own unit: steps, tokens or seconds. */
export interface AxisWindow {
  from: number;
  until: number;
}

interface AxisStyle {
  label: string;
  /** Distances that the marks under the chart may have. */
  increments: number[];
  mark: (value: number) => string;
  /** The position of the crosshair in words. */
  hover: (value: number) => string;
}

const WHOLE = Array.from({ length: 16 }, (_, power) => [1, 2, 5].map((digit) => digit * 10 ** power)).flat();
const MINUTE = 60;
const HOUR = 3600;
const SPANS = [
  ...[1, 2, 5, 10, 15, 30],
  ...[1, 2, 5, 10, 15, 30].map((count) => count * MINUTE),
  ...[1, 2, 4, 6, 12, 24, 48, 96, 240, 480].map((count) => count * HOUR),
];

export const AXES: Record<AxisKind, AxisStyle> = {
  step: { label: "Step", increments: WHOLE, mark: formatCount, hover: (step) => `Step ${formatNumber(step)}` },
  tokens: {
    label: "Tokens",
    increments: WHOLE,
    mark: formatCount,
    hover: (tokens) => `${formatCount(tokens)} tokens`,
  },
  time: {
    label: "Time",
    increments: SPANS,
    mark: formatDuration,
    hover: (seconds) => `After ${formatDuration(seconds)}`,
  },
};

export const AXIS_KINDS = Object.keys(AXES) as AxisKind[];

/** What turns steps into positions on an axis. */
export interface AxisSource {
  /** When the job began, milliseconds since the epoch. */
  startMs: number;
  /** Tokens seen at some steps; between them the count is linear. */
  tokens: CurveData;
}

/** Values at `steps`, which increase: linear between neighbours, from nothing before the first, on beyond the last. */
function interpolate(curve: CurveData, steps: readonly number[]): number[] {
  const { steps: known, values } = curve;
  if (known.length === 0) return steps.map(() => Number.NaN);
  let right = 0;
  return steps.map((step) => {
    while (right < known.length - 1 && (known[right] ?? 0) < step) right += 1;
    const left = Math.max(0, right - 1);
    const [x0, x1] = [known[left] ?? 0, known[right] ?? 0];
    const [y0, y1] = [values[left] ?? 0, values[right] ?? 0];
    if (right === 0) return x1 === 0 ? y1 : (y1 * step) / x1;
    return y0 + ((y1 - y0) * (step - x0)) / (x1 - x0);
  });
}

/** Where on the axis each point of `curve` lies. */
export function positionsOf(axis: AxisKind, curve: CurveData, source: AxisSource): number[] {
  if (axis === "step") return curve.steps;
  if (axis === "time") return curve.times.map((time) => (time - source.startMs) / 1000);
  return interpolate(source.tokens, curve.steps);
}

/** The steps of `curve` that a window of the axis shows, a point more on either side; null where there are none. */
export function stepsWithin(
  axis: AxisKind,
  window: AxisWindow | null,
  curve: CurveData,
  source: AxisSource,
): StepWindow | null {
  if (window === null) return null;
  if (axis === "step") return { from: Math.floor(window.from), until: Math.ceil(window.until) };
  const positions = positionsOf(axis, curve, source);
  const first = positions.findIndex((position) => position >= window.from);
  const last = positions.findLastIndex((position) => position <= window.until);
  const from = curve.steps[Math.max(0, first - 1)];
  const until = curve.steps[Math.min(curve.steps.length - 1, last + 1)];
  if (first < 0 || last < 0 || from === undefined || until === undefined || from > until) return null;
  return { from, until };
}
