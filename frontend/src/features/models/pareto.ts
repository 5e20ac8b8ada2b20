/** Where versions lie on two axes. Who is on the front is the server's word: it weighs all three. */
import type { Comparison, ComparisonColumn } from "@/lib/api-types";

export type Axis = "size" | "speed" | "quality";

export interface Point {
  id: string;
  name: string;
  stage: string;
  x: number;
  y: number;
  isOnFront: boolean;
  dominatedBy: string | null;
}

/** The metric that stands for an axis, if any version was measured by it. */
export function columnOf(comparison: Comparison, axis: Axis): ComparisonColumn | undefined {
  return comparison.columns.find((column) => column.metric === comparison.axes[axis]);
}

/** The versions that have a figure on both axes and a place in the comparison of all three. */
export function pointsOf(comparison: Comparison, x: Axis, y: Axis): Point[] {
  return comparison.rows.flatMap((row) => {
    const valueOf = (axis: Axis) => row.cells.find((cell) => cell.metric === comparison.axes[axis])?.value;
    const [left, right] = [valueOf(x), valueOf(y)];
    if (left === undefined || right === undefined || row.is_on_front === null) return [];
    return [
      {
        id: row.version.id,
        name: row.version.name,
        stage: row.version.stage,
        x: left,
        y: right,
        isOnFront: row.is_on_front,
        dominatedBy: row.dominated_by,
      },
    ];
  });
}

/** The smallest and largest value with a margin, so that no point lies on the border. */
export function rangeOf(values: number[]): [number, number] {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const margin = high > low ? (high - low) * 0.12 : Math.abs(high) * 0.1 || 1;
  return [low - margin, high + margin];
}

/** Of the points on the front those that are best on the two axes shown, in the order of x: the line through them. */
export function frontLine(points: Point[], isHigherBetter: { x: boolean; y: boolean }): Point[] {
  const gain = (value: number, isUp: boolean) => (isUp ? value : -value);
  const fromBest = points
    .filter((point) => point.isOnFront)
    .sort(
      (a, b) =>
        gain(b.x, isHigherBetter.x) - gain(a.x, isHigherBetter.x) ||
        gain(b.y, isHigherBetter.y) - gain(a.y, isHigherBetter.y),
    );
  const line: Point[] = [];
  for (const point of fromBest) {
    const last = line.at(-1);
    if (last === undefined || gain(point.y, isHigherBetter.y) > gain(last.y, isHigherBetter.y)) line.push(point);
  }
  return line.sort((a, b) => a.x - b.x);
}
