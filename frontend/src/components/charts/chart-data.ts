/** From curves with positions of their own to the aligned columns that a plot draws. */

export interface CurveInput {
  /** Positions on the axis, increasing. */
  xs: readonly number[];
  values: readonly number[];
}

export type Column = (number | null | undefined)[];

/** Aligned columns: the union of all positions, then one column per curve. null breaks a line, undefined does not. */
export type AlignedColumns = [number[], ...Column[]];

function unionOf(curves: readonly CurveInput[]): number[] {
  const first = curves[0];
  if (curves.length === 1 && first) return [...first.xs];
  return [...new Set(curves.flatMap((curve) => [...curve.xs]))].sort((a, b) => a - b);
}

/**
 * Exponential moving average, debiased at the start; a gap passes through and does not spoil what follows.
 *
 * `weight` is the share of the past, 0 (none) to below 1.
 */
export function smooth(values: readonly number[], weight: number): number[] {
  let average = 0;
  let total = 0;
  return values.map((value) => {
    if (!Number.isFinite(value)) return Number.NaN;
    average = average * weight + value * (1 - weight);
    total = total * weight + (1 - weight);
    return average / total;
  });
}

/** Align curves on one axis. Values that are not finite become gaps. */
export function align(curves: readonly CurveInput[], isLog: boolean): AlignedColumns {
  const xs = unionOf(curves);
  const position = new Map(xs.map((x, index) => [x, index]));
  const columns = curves.map((curve) => {
    const column: Column = new Array<number | null | undefined>(xs.length).fill(undefined);
    for (const [index, x] of curve.xs.entries()) {
      const value = curve.values[index];
      const isShown = value !== undefined && Number.isFinite(value) && !(isLog && value <= 0);
      column[position.get(x) ?? 0] = isShown ? value : null;
    }
    return column;
  });
  return [xs, ...columns];
}
