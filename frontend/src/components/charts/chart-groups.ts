/**
 * Which curves share a chart. The list of charts follows the series that a job has: known keys gather in the groups
 * below, and whatever else a job reports gets a chart of its own, so a new metric needs no change here.
 */
import type { Series } from "@/lib/api-types";
import { humanize } from "@/lib/format";

/** How training goes, or what it does to the machines. */
export type ChartArea = "training" | "system";

export interface GroupLine {
  key: string;
  rank: number;
  label: string;
}

export interface ChartGroup {
  id: string;
  title: string;
  unit: string;
  lines: GroupLine[];
}

interface GroupRule {
  id: string;
  title: string;
  unit: string;
  matches: RegExp;
  area?: ChartArea;
  /** The ranks are what the chart is about: all are shown even where only the first is asked for. */
  isPerRank?: boolean;
}

const RULES: GroupRule[] = [
  { id: "loss", title: "Loss", unit: "nats/token", matches: /(^|[_/.])loss$/ },
  { id: "learning_rate", title: "Learning rate", unit: "", matches: /^learning_rate$|^lr$/ },
  { id: "tokens_per_s", title: "Throughput", unit: "tokens/s", matches: /tokens_per_s/ },
  { id: "grad_norm", title: "Gradient norm", unit: "", matches: /grad(ient)?_norm/ },
  {
    id: "step_time",
    title: "Step time and its parts",
    unit: "s",
    matches: /(time|wait|forward|backward|optimizer|data)_s$/,
  },
  { id: "loss_local", title: "Loss of each rank", unit: "nats/token", matches: /^loss_local$/, isPerRank: true },
  { id: "perplexity", title: "Perplexity", unit: "", matches: /perplexity/ },
  { id: "mfu", title: "Model FLOPs utilisation", unit: "%", matches: /^mfu_pct$/ },
  { id: "utilisation", title: "Utilisation", unit: "%", matches: /_pct$/, area: "system" },
  { id: "memory", title: "Memory", unit: "GiB", matches: /_gib$/, area: "system" },
  { id: "power", title: "Power", unit: "W", matches: /power|_w$/, area: "system" },
  { id: "temperature", title: "Temperature", unit: "deg C", matches: /temperature|_c$/, area: "system" },
];

const UNITS = /_(per_s|s|ms|bytes|gib|pct|w|c)$/;

/** `step_time_s` as `Step time`: the unit stands elsewhere. */
export function metricName(key: string): string {
  return humanize(key.replace(UNITS, ""));
}

function labelOf(key: string, rank: number, hasRanks: boolean): string {
  const name = metricName(key);
  return hasRanks ? `${name}, rank ${rank}` : name;
}

function groupOf(key: string): GroupRule {
  return RULES.find((rule) => rule.matches.test(key)) ?? { id: key, title: humanize(key), unit: "", matches: /$^/ };
}

export interface GroupChoice {
  area: ChartArea;
  hasEachRank: boolean;
}

function ranksByKey(series: Pick<Series, "key" | "rank">[]): [string, number[]][] {
  const ranksOf = new Map<string, Set<number>>();
  for (const { key, rank } of series) ranksOf.set(key, (ranksOf.get(key) ?? new Set()).add(rank));
  return [...ranksOf]
    .sort(([a], [b]) => a.length - b.length || a.localeCompare(b))
    .map(([key, ranks]) => [key, [...ranks].sort((a, b) => a - b)]);
}

/** Sort a job's series into the charts of one area, in the order a person asks for them. */
export function chartGroups(series: Pick<Series, "key" | "rank">[], choice: GroupChoice): ChartGroup[] {
  const groups = new Map<string, ChartGroup>();
  for (const [key, ranks] of ranksByKey(series)) {
    const { id, title, unit, area = "training", isPerRank = false } = groupOf(key);
    if (area !== choice.area) continue;
    const group = groups.get(id) ?? { id, title, unit, lines: [] };
    groups.set(id, group);
    const shown = choice.hasEachRank || isPerRank ? ranks : ranks.slice(0, 1);
    for (const rank of shown) group.lines.push({ key, rank, label: labelOf(key, rank, ranks.length > 1) });
  }
  const place = (group: ChartGroup) => {
    const index = RULES.findIndex((rule) => rule.id === group.id);
    return index < 0 ? RULES.length : index;
  };
  return [...groups.values()].sort((a, b) => place(a) - place(b) || a.title.localeCompare(b.title));
}
