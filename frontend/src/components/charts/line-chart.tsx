/**
 * A live chart: uPlot fed from outside React, so a new point redraws this canvas and nothing else.
 *
 * Drag zooms, a double click shows everything again, the crosshair is shared by all charts of a page. With
 * smoothing the raw line stays, faint, behind. What part is shown belongs to the page: it is told when a zoom has
 * come to rest, and may then bring finer points.
 */
import { Box } from "@mantine/core";
import { useElementSize } from "@mantine/hooks";
import { useEffect, useRef } from "react";
import type uPlot from "uplot";
import type { AxisKind, AxisWindow } from "./axis";
import { align, smooth, type CurveInput } from "./chart-data";
import classes from "./line-chart.module.css";
import { createPlot, windowOf, type PlotStyle } from "./plot";

export interface ChartSeries {
  id: string;
  label: string;
  color: string;
}

export interface LineChartProps {
  title: string;
  series: ChartSeries[];
  axis: AxisKind;
  /** The points of a series as they are now. */
  read: (id: string) => CurveInput;
  /** Called with a listener for changes of any of the series; returns how to stop. */
  subscribe: (listener: () => void) => () => void;
  isLog: boolean;
  /** Share of the past in the moving average; 0 shows the raw line alone. */
  smoothing: number;
  /** The part that is shown; null is all of it. */
  window: AxisWindow | null;
  onWindow: (window: AxisWindow | null) => void;
  syncKey: string;
  isDark: boolean;
  height?: number;
}

/** A view that has not moved for this long is at rest. */
const REST_MS = 250;

const isSame = (a: AxisWindow | null, b: AxisWindow | null): boolean => a?.from === b?.from && a?.until === b?.until;

/** Show `window`. Data that is set without moving the axis has to be drawn by hand. */
function applyWindow(plot: uPlot, window: AxisWindow | null): void {
  if (window) plot.setScale("x", { min: window.from, max: window.until });
}

function describe(element: HTMLElement, curves: CurveInput[], window: AxisWindow | null): void {
  const isVisible = (x: number) => !window || (x >= window.from && x <= window.until);
  element.dataset["points"] = String(Math.max(0, ...curves.map(({ xs }) => xs.length)));
  element.dataset["visible"] = String(Math.max(0, ...curves.map(({ xs }) => xs.filter(isVisible).length)));
}

export function LineChart(props: LineChartProps) {
  const { title, series, axis, read, subscribe, isLog, smoothing, window, onWindow } = props;
  const { syncKey, isDark, height = 220 } = props;
  const { ref: sizeRef, width } = useElementSize<HTMLDivElement>();
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const shown = useRef<AxisWindow | null>(window); // moves with the mouse; the page hears of it at rest
  const tell = useRef(onWindow);
  const redraw = useRef<() => void>(() => undefined);
  const hasWidth = width > 0;
  const shape = series.map((item) => `${item.id}=${item.color}`).join("|");

  useEffect(() => {
    tell.current = onWindow;
  }, [onWindow]);

  useEffect(() => {
    const element = host.current;
    if (!element || !hasWidth) return;
    const style: PlotStyle = { series, axis, isLog, isSmoothed: smoothing > 0, isDark, syncKey, height };
    let frame = 0;
    let rest: ReturnType<typeof setTimeout> | undefined;
    let isDrawing = true; // until there is data, what the plot shows means nothing
    const onScale = (scaled: uPlot) => {
      if (isDrawing) return;
      const next = windowOf(scaled);
      if (isSame(next, shown.current)) return;
      shown.current = next;
      clearTimeout(rest);
      rest = setTimeout(() => tell.current(next), REST_MS);
    };
    const made = createPlot(element, element.clientWidth, style, onScale);
    plot.current = made;
    const draw = () => {
      frame = 0;
      const raw = series.map((item) => read(item.id));
      const smoothed = smoothing > 0 ? raw.map(({ xs, values }) => ({ xs, values: smooth(values, smoothing) })) : [];
      isDrawing = true;
      made.batch(() => {
        made.setData(align([...raw, ...smoothed], isLog), shown.current === null);
        applyWindow(made, shown.current);
      });
      isDrawing = false;
      describe(element, raw, shown.current);
    };
    const drawSoon = () => {
      frame ||= requestAnimationFrame(draw);
    };
    redraw.current = drawSoon;
    draw();
    const stop = subscribe(drawSoon);
    return () => {
      stop();
      clearTimeout(rest);
      cancelAnimationFrame(frame);
      made.destroy();
      plot.current = null;
    };
    // `shape` stands for `series`: a new array with the same content must not rebuild the plot
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [hasWidth, shape, axis, isLog, smoothing, isDark, syncKey, height, read, subscribe]);

  useEffect(() => {
    if (isSame(window, shown.current)) return;
    shown.current = window;
    redraw.current();
  }, [window]);

  useEffect(() => {
    if (width > 0) plot.current?.setSize({ width, height });
  }, [width, height]);

  return (
    <Box ref={sizeRef} className={classes.frame} mih={height}>
      <div
        ref={host}
        role="img"
        aria-label={`Chart of ${title}`}
        data-testid="chart"
        data-chart={title}
        data-points="0"
      />
    </Box>
  );
}
