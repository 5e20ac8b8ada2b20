/**
 * One palette for series, told apart by colour-blind eyes and on both grounds (after Okabe and Ito, with the
 * lightness evened out). A series keeps its colour by its place in its chart.
 */
export const SERIES_COLORS = ["#3b82c4", "#d97706", "#0f9f83", "#c2569b", "#7c6ee0", "#8a9a1b", "#d1495b", "#5b6b7f"];

export function seriesColor(index: number): string {
  return SERIES_COLORS[index % SERIES_COLORS.length] ?? "#3b82c4";
}

/** The same colour, faint: the raw line behind its smoothed one. */
export function faint(color: string): string {
  return `${color}40`;
}
