/** The columns of one curve, and what may happen to them. Outside React; nothing here knows where points come from. */

export interface CurveData {
  /** Increasing. */
  steps: number[];
  /** When each was measured, milliseconds since the epoch. */
  times: number[];
  /** NaN and infinities stay what they are; a chart shows them as gaps. */
  values: number[];
}

/** Steps from `from` to `until`, both included. */
export interface StepWindow {
  from: number;
  until: number;
}

export function emptyCurve(): CurveData {
  return { steps: [], times: [], values: [] };
}

/** The first index whose step is at least `step`. */
function lowerBound(steps: readonly number[], step: number): number {
  let low = 0;
  let high = steps.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((steps[middle] ?? 0) < step) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Drop what begins at `step`: a later attempt went on from before it. */
export function cutFrom(curve: CurveData, step: number): void {
  const keep = lowerBound(curve.steps, step);
  curve.steps.length = keep;
  curve.times.length = keep;
  curve.values.length = keep;
}

/** Add points at the end; where they reach back, the older ones give way, so the curve never doubles back. */
export function appendTo(curve: CurveData, data: CurveData): void {
  const first = data.steps[0];
  if (first === undefined) return;
  cutFrom(curve, first);
  for (const [index, step] of data.steps.entries()) {
    curve.steps.push(step);
    curve.times.push(data.times[index] ?? Number.NaN);
    curve.values.push(data.values[index] ?? Number.NaN);
  }
}

/**
 * The coarse curve with its part between the ends of `detail` replaced by it. What the coarse one has beyond those
 * ends stays, so points that came since the detail was read are there too.
 */
export function withDetail(coarse: CurveData, detail: CurveData): CurveData {
  const first = detail.steps[0];
  const last = detail.steps.at(-1);
  if (first === undefined || last === undefined) return coarse;
  const before = lowerBound(coarse.steps, first);
  const after = lowerBound(coarse.steps, last + 1);
  const join = (column: keyof CurveData) => [
    ...coarse[column].slice(0, before),
    ...detail[column],
    ...coarse[column].slice(after),
  ];
  return { steps: join("steps"), times: join("times"), values: join("values") };
}
