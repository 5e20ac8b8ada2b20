/** How a plot looks and behaves: the only place that speaks uPlot's options. */
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { formatCount, formatNumber } from "@/lib/format";
import { AXES, type AxisKind, type AxisWindow } from "./axis";
import type { ChartSeries } from "./line-chart";
import { faint } from "./series-colors";

export interface PlotStyle {
  series: ChartSeries[];
  isLog: boolean;
  isSmoothed: boolean;
  isDark: boolean;
  axis: AxisKind;
  syncKey: string;
  height: number;
}

const FONT = "11px 'Inter Variable', system-ui, sans-serif";

function axisColors(isDark: boolean) {
  return isDark
    ? { text: "#9aa0a8", grid: "rgba(255,255,255,0.07)" }
    : { text: "#667080", grid: "rgba(20,30,50,0.07)" };
}

/** Few values, such as those of a validation every hundred steps, are marked: a line alone would hide them. */
function isSparse(column: ArrayLike<number | null | undefined> | undefined): boolean {
  let count = 0;
  for (let index = 0; index < (column?.length ?? 0) && count < 40; index += 1) {
    if (typeof column?.[index] === "number") count += 1;
  }
  return count < 40;
}

function linesOf({ series, isSmoothed }: PlotStyle): uPlot.Series[] {
  const line = (item: ChartSeries, stroke: string, width: number): uPlot.Series => ({
    label: item.label,
    stroke,
    width,
    points: { show: (plot, index) => isSparse(plot.data[index]), size: 4, fill: stroke },
    spanGaps: false,
  });
  const raw = series.map((item) => line(item, isSmoothed ? faint(item.color) : item.color, isSmoothed ? 1 : 1.6));
  return isSmoothed ? [...raw, ...series.map((item) => line(item, item.color, 1.8))] : raw;
}

/** The crosshair is shared by the plots of a page; what is dragged is not: the page gives its window to all of them. */
const SHARED_EVENTS = new Set(["mousemove", "mouseleave"]);

/** Make an empty plot in `element`. `onScale` is told whenever the part of the axis that is shown changes. */
export function createPlot(
  element: HTMLElement,
  width: number,
  style: PlotStyle,
  onScale: (plot: uPlot) => void,
): uPlot {
  const axisStyle = AXES[style.axis];
  const { text, grid } = axisColors(style.isDark);
  const axis = { stroke: text, grid: { stroke: grid, width: 1 }, ticks: { show: false }, font: FONT };
  const options: uPlot.Options = {
    width,
    height: style.height,
    legend: { show: false },
    padding: [10, 12, 0, 0],
    cursor: {
      sync: {
        key: style.syncKey,
        setSeries: false,
        filters: { pub: (type) => SHARED_EVENTS.has(type), sub: (type) => SHARED_EVENTS.has(type) },
      },
      drag: { x: true, y: false, setScale: true },
      points: { size: 7 },
      focus: { prox: 24 },
    },
    // 3 is logarithmic, 1 linear; the enum exists in the types only
    // eslint-disable-next-line @typescript-eslint/no-unsafe-enum-assignment
    scales: { x: { time: false }, y: { distr: style.isLog ? 3 : 1 } },
    axes: [
      { ...axis, size: 30, incrs: axisStyle.increments, values: (_plot, ticks) => ticks.map(axisStyle.mark) },
      {
        ...axis,
        size: 56,
        values: (_plot, ticks) => ticks.map((tick: number | null) => (tick === null ? "" : shortNumber(tick))),
      },
    ],
    series: [{ label: axisStyle.label }, ...linesOf(style)],
    plugins: [hoverPlugin(style)],
    hooks: { setScale: [(plot, key) => key === "x" && onScale(plot)] },
  };
  const columns: number[][] = Array.from({ length: options.series.length }, () => []);
  return new uPlot(options, columns as unknown as uPlot.AlignedData, element);
}

function shortNumber(value: number): string {
  return Math.abs(value) >= 10_000 ? formatCount(value) : formatNumber(value);
}

/** A small box beside the crosshair: the step, and each line's value there. Text only, never markup. */
function hoverPlugin(style: PlotStyle): uPlot.Plugin {
  const box = document.createElement("div");
  box.className = "u-hover";
  const offset = style.isSmoothed ? style.series.length : 0;
  return {
    hooks: {
      init: (plot) => plot.over.append(box),
      setCursor: (plot) => {
        const { idx, left } = plot.cursor;
        const position = idx === null || idx === undefined ? undefined : plot.data[0][idx];
        box.hidden = position === undefined || left === undefined || left < 0;
        if (box.hidden || idx === null || idx === undefined || left === undefined) return;
        const rows = style.series.map((item, index) => row(item, plot.data[index + 1 + offset]?.[idx]));
        box.replaceChildren(heading(AXES[style.axis].hover(position ?? 0)), ...rows);
        const isRight = left > plot.over.clientWidth / 2;
        box.style.left = isRight ? "" : `${left + 12}px`;
        box.style.right = isRight ? `${plot.over.clientWidth - left + 12}px` : "";
      },
    },
  };
}

function heading(text: string): HTMLElement {
  const element = document.createElement("div");
  element.textContent = text;
  element.style.opacity = "0.7";
  return element;
}

function row(item: ChartSeries, value: number | null | undefined): HTMLElement {
  const element = document.createElement("div");
  const mark = document.createElement("span");
  mark.className = "u-mark";
  mark.style.background = item.color;
  element.append(mark, `${item.label} ${value === null || value === undefined ? "-" : formatNumber(value)}`);
  return element;
}

/** The part of the axis that is shown; null while that is all of it. */
export function windowOf(plot: uPlot): AxisWindow | null {
  const positions = plot.data[0];
  const { min, max } = plot.scales["x"] ?? {};
  const first = positions[0];
  const last = positions.at(-1);
  if (first === undefined || last === undefined || typeof min !== "number" || typeof max !== "number") return null;
  return min > first || max < last ? { from: min, until: max } : null;
}
