/**
 * A live chart: uPlot fed from outside React, so a new point redraws this canvas and nothing else.
 *
 * Drag zooms, a double click shows everything again, the crosshair is shared by all charts of a page. With
 * smoothing the raw line stays, faint, behind.
 */
import { Box } from "@mantine/core";
import { useElementSize } from "@mantine/hooks";
import { useEffect, useRef } from "react";
import type uPlot from "uplot";
import { createPlot, type PlotStyle } from "./plot";
import { align, smooth, type CurveInput } from "./chart-data";
import classes from "./line-chart.module.css";

export interface ChartSeries {
  id: string;
  label: string;
  color: string;
}

export interface LineChartProps {
  title: string;
  series: ChartSeries[];
  /** The points of a series as they are now. */
  read: (id: string) => CurveInput;
  /** Called with a listener for changes of any of the series; returns how to stop. */
  subscribe: (listener: () => void) => () => void;
  isLog: boolean;
  /** Share of the past in the moving average; 0 shows the raw line alone. */
  smoothing: number;
  syncKey: string;
  isDark: boolean;
  height?: number;
}

export function LineChart(props: LineChartProps) {
  const { title, series, read, subscribe, isLog, smoothing, syncKey, isDark, height = 220 } = props;
  const { ref: sizeRef, width } = useElementSize<HTMLDivElement>();
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const hasWidth = width > 0;
  const shape = series.map((item) => `${item.id}=${item.color}`).join("|");

  useEffect(() => {
    const element = host.current;
    if (!element || !hasWidth) return;
    const style: PlotStyle = { series, isLog, isSmoothed: smoothing > 0, isDark, syncKey, height };
    const made = createPlot(element, element.clientWidth, style);
    plot.current = made;
    let frame = 0;
    const draw = () => {
      frame = 0;
      const raw = series.map((item) => read(item.id));
      const smoothed =
        smoothing > 0 ? raw.map(({ steps, values }) => ({ steps, values: smooth(values, smoothing) })) : [];
      const isZoomed = isZoomedIn(made);
      made.setData(align([...raw, ...smoothed], isLog), !isZoomed);
      if (isZoomed) made.redraw();
      element.dataset["points"] = String(Math.max(0, ...raw.map((curve) => curve.steps.length)));
      element.dataset["lastStep"] = String(Math.max(-1, ...raw.map((curve) => curve.steps.at(-1) ?? -1)));
    };
    draw();
    const stop = subscribe(() => {
      frame ||= requestAnimationFrame(draw);
    });
    return () => {
      stop();
      cancelAnimationFrame(frame);
      made.destroy();
      plot.current = null;
    };
    // `shape` stands for `series`: a new array with the same content must not rebuild the plot
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [hasWidth, shape, isLog, smoothing, isDark, syncKey, height, read, subscribe]);

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

/** While a part is shown, new points must not move it. */
function isZoomedIn(plot: uPlot): boolean {
  const steps = plot.data[0];
  const { min, max } = plot.scales["x"] ?? {};
  const first = steps[0];
  const last = steps.at(-1);
  if (first === undefined || last === undefined || min === undefined || max === undefined) return false;
  return min > first || max < last;
}
