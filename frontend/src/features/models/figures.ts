/** Figures of versions as people read them. */
import { formatBytes, formatNumber } from "@/lib/format";

export function figureText(value: number, unit: string): string {
  if (unit === "bytes") return formatBytes(Math.round(value));
  return unit ? `${formatNumber(value)} ${unit}` : formatNumber(value);
}

/** `+12.5%`, with the sign people look for. */
export function differenceText(percent: number): string {
  const sign = percent > 0 ? "+" : "";
  return `${sign}${percent.toFixed(Math.abs(percent) < 10 ? 1 : 0)}%`;
}
