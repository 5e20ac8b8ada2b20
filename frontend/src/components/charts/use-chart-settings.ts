/** What all charts of a page share. It is in the address, so that a link shows what you see. */
import { useCallback, useMemo } from "react";
import { setOrDelete, useSearch } from "@/lib/use-search";
import { AXIS_KINDS, type AxisKind, type AxisWindow } from "./axis";

export interface ChartSettings {
  axis: AxisKind;
  isLog: boolean;
  /** Share of the past, 0 to 0.99. */
  smoothing: number;
  /** One line for each rank, rather than the first rank's. */
  hasEachRank: boolean;
  /** The part of the axis that is shown; null is all of it. */
  window: AxisWindow | null;
}

export type ChangeChartSettings = (changes: Partial<ChartSettings>) => void;

function windowFrom(text: string | null): AxisWindow | null {
  const [from, until] = (text ?? "").split("~").map(Number);
  if (from === undefined || until === undefined) return null;
  return Number.isFinite(from) && Number.isFinite(until) && from < until ? { from, until } : null;
}

/** Read settings out of an address; what makes no sense there counts as absent. */
export function chartSettings(search: URLSearchParams): ChartSettings {
  const smoothing = Number(search.get("smooth") ?? 0);
  return {
    axis: AXIS_KINDS.find((kind) => kind === search.get("axis")) ?? "step",
    isLog: search.get("log") === "1",
    smoothing: Number.isFinite(smoothing) ? Math.min(0.99, Math.max(0, smoothing)) : 0,
    hasEachRank: search.get("ranks") === "1",
    window: windowFrom(search.get("zoom")),
  };
}

const rounded = (value: number): string => String(Number(value.toPrecision(7)));

/** Write settings into an address; what is as usual is left out. */
export function writeChartSettings(search: URLSearchParams, settings: ChartSettings): void {
  const { axis, isLog, smoothing, hasEachRank, window } = settings;
  const values: [string, string][] = [
    ["axis", axis === "step" ? "" : axis],
    ["log", isLog ? "1" : ""],
    ["smooth", smoothing > 0 ? String(smoothing) : ""],
    ["ranks", hasEachRank ? "1" : ""],
    ["zoom", window ? `${rounded(window.from)}~${rounded(window.until)}` : ""],
  ];
  for (const [name, value] of values) setOrDelete(search, name, value);
}

export function useChartSettings(): [ChartSettings, ChangeChartSettings] {
  const [search, editSearch] = useSearch();
  const settings = useMemo(() => chartSettings(search), [search]);
  const change = useCallback<ChangeChartSettings>(
    (changes) =>
      editSearch((next) => {
        const before = chartSettings(next);
        // a window of one axis means nothing on another
        const reset = changes.axis !== undefined && changes.axis !== before.axis ? { window: null } : {};
        writeChartSettings(next, { ...before, ...reset, ...changes });
      }),
    [editSearch],
  );
  return [settings, change];
}
