/** What each job's metrics came to, and how far that is from a baseline. */
import type { Series } from "@/lib/api-types";
import { formatNumber, toNumber } from "@/lib/format";

export interface MetricRow {
  key: string;
  /** One value a job, in order; null where the job has no such metric. */
  values: (number | null)[];
}

/** What machines felt is not what a run came to. */
const OF_MACHINES = /^(host|gpu)\//;

function lastValues(series: Series[]): Map<string, number> {
  const newest = new Map<string, Series>();
  for (const item of series) {
    if (item.rank !== 0 || OF_MACHINES.test(item.key)) continue;
    const known = newest.get(item.key);
    if (!known || known.attempt < item.attempt) newest.set(item.key, item);
  }
  return new Map(
    [...newest].flatMap(([key, item]) => {
      const last = toNumber(item.last);
      return last === null ? [] : [[key, last] as const];
    }),
  );
}

const FIRST = ["loss", "val_loss", "val_perplexity", "tokens_per_s", "tokens"];

function place(key: string): number {
  const index = FIRST.indexOf(key);
  return index < 0 ? FIRST.length : index;
}

export function metricRows(seriesOfJobs: Series[][]): MetricRow[] {
  const values = seriesOfJobs.map(lastValues);
  const keys = [...new Set(values.flatMap((found) => [...found.keys()]))];
  return keys
    .sort((a, b) => place(a) - place(b) || a.localeCompare(b))
    .map((key) => ({ key, values: values.map((found) => found.get(key) ?? null) }));
}

/** `+0.12 (+3.4%)`; empty where there is nothing to compare. */
export function differenceText(value: number | null, base: number | null): string {
  if (value === null || base === null) return "";
  const difference = value - base;
  if (!Number.isFinite(difference)) return "";
  if (difference === 0) return "same";
  const sign = difference > 0 ? "+" : "";
  const share = base === 0 ? "" : ` (${sign}${Number(((difference / Math.abs(base)) * 100).toPrecision(2))}%)`;
  return `${sign}${formatNumber(difference)}${share}`;
}
