/** Versions on two axes: the front drawn, dominated ones dimmed, a click opens the version. */
import { Group, SegmentedControl, Text, useMantineTheme } from "@mantine/core";
import { useState } from "react";
import { Link } from "react-router";
import { seriesColor } from "@/components/charts/series-colors";
import type { Comparison } from "@/lib/api-types";
import { figureText } from "./figures";
import { columnOf, frontLine, pointsOf, rangeOf, type Axis, type Point } from "./pareto";

const WIDTH = 560;
const HEIGHT = 300;
const LEFT = 76;
const BOTTOM = 42;
const TOP = 12;
const RIGHT = 16;
const PAIRS: Record<string, [Axis, Axis]> = {
  "size-quality": ["size", "quality"],
  "speed-quality": ["speed", "quality"],
  "size-speed": ["size", "speed"],
};

export function ParetoPlot({ comparison }: { comparison: Comparison }) {
  const [pair, setPair] = useState("size-quality");
  const [x, y] = PAIRS[pair] ?? ["size", "quality"];
  const points = pointsOf(comparison, x, y);
  const [columnX, columnY] = [columnOf(comparison, x), columnOf(comparison, y)];
  if (points.length === 0 || !columnX || !columnY) {
    return (
      <Text c="dimmed" fz="sm">
        Versions appear here once their size, speed and quality are measured: submit a job of the kind evaluate with a
        dataset.
      </Text>
    );
  }
  const place = scaleOf(points);
  const line = frontLine(points, { x: columnX.higher_is_better, y: columnY.higher_is_better });
  const better = (isUp: boolean, up: string, down: string) => (isUp ? up : down);
  return (
    <>
      <Group justify="space-between" mb="xs">
        <SegmentedControl
          size="xs"
          aria-label="Axes"
          value={pair}
          onChange={setPair}
          data={[
            { value: "size-quality", label: "Size and quality" },
            { value: "speed-quality", label: "Speed and quality" },
            { value: "size-speed", label: "Size and speed" },
          ]}
        />
        <Text c="dimmed" fz="xs">
          Dimmed: another version is nowhere worse in size, speed and quality
        </Text>
      </Group>
      <svg
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        width="100%"
        style={{ maxWidth: 760 }}
        role="group"
        aria-label="Versions by two figures"
      >
        <Frame points={points} unitX={columnX.unit} unitY={columnY.unit} />
        <text x={(LEFT + WIDTH - RIGHT) / 2} y={HEIGHT - 4} textAnchor="middle" fontSize={11} fill="currentColor">
          {columnX.title}, {better(columnX.higher_is_better, "more is better", "less is better")}
        </text>
        <text
          transform={`translate(11 ${(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)`}
          textAnchor="middle"
          fontSize={11}
          fill="currentColor"
        >
          {columnY.title}, {better(columnY.higher_is_better, "more is better", "less is better")}
        </text>
        <polyline
          points={line.map((point) => place(point).join(",")).join(" ")}
          fill="none"
          stroke={seriesColor(0)}
          strokeWidth={1.5}
          data-testid="front"
        />
        {points.map((point) => (
          <Mark key={point.id} point={point} at={place(point)} units={[columnX.unit, columnY.unit]} />
        ))}
      </svg>
    </>
  );
}

type Place = (point: { x: number; y: number }) => [number, number];

function scaleOf(points: Point[]): Place {
  const [lowX, highX] = rangeOf(points.map((point) => point.x));
  const [lowY, highY] = rangeOf(points.map((point) => point.y));
  return ({ x, y }) => [
    LEFT + ((x - lowX) / (highX - lowX)) * (WIDTH - LEFT - RIGHT),
    HEIGHT - BOTTOM - ((y - lowY) / (highY - lowY)) * (HEIGHT - TOP - BOTTOM),
  ];
}

function Frame({ points, unitX, unitY }: { points: Point[]; unitX: string; unitY: string }) {
  const bottom = HEIGHT - BOTTOM;
  const place = scaleOf(points);
  const ends = (values: number[]) => [...new Set([Math.min(...values), Math.max(...values)])];
  return (
    <g fontSize={10} fill="var(--mantine-color-dimmed)" className="tabular">
      <path d={`M${LEFT} ${TOP}V${bottom}H${WIDTH - RIGHT}`} fill="none" stroke="var(--mantine-color-default-border)" />
      {ends(points.map((point) => point.x)).map((x) => (
        <text key={x} x={place({ x, y: 0 })[0]} y={bottom + 14} textAnchor="middle">
          {figureText(x, unitX === "bytes" ? unitX : "")}
        </text>
      ))}
      {ends(points.map((point) => point.y)).map((y) => (
        <text key={y} x={LEFT - 6} y={place({ x: 0, y })[1] + 3} textAnchor="end">
          {figureText(y, unitY === "bytes" ? unitY : "")}
        </text>
      ))}
    </g>
  );
}

function Mark({ point, at, units }: { point: Point; at: [number, number]; units: [string, string] }) {
  const theme = useMantineTheme();
  const [left, top] = at;
  const place = `${figureText(point.x, units[0])}, ${figureText(point.y, units[1])}`;
  const standing = point.isOnFront ? "on the front" : `behind ${point.dominatedBy ?? "another"}`;
  const isRight = left > WIDTH - 120;
  return (
    <Link to={`/model-versions/${point.id}`} aria-label={`${point.name}: ${place}, ${standing}`}>
      <g opacity={point.isOnFront ? 1 : 0.45} data-testid={`mark-${point.name}`} data-front={point.isOnFront}>
        <title>{`${point.name}: ${place}, ${standing}`}</title>
        <circle
          cx={left}
          cy={top}
          r={6}
          fill={point.isOnFront ? seriesColor(0) : "var(--mantine-color-body)"}
          stroke={seriesColor(0)}
          strokeWidth={1.5}
        />
        <text
          x={left + (isRight ? -10 : 10)}
          y={top - 8}
          textAnchor={isRight ? "end" : "start"}
          fontSize={11}
          fontFamily={theme.fontFamily}
          fontWeight={point.stage === "production" ? 700 : 400}
          fill="currentColor"
        >
          {point.name}
          {point.stage === "production" ? " (production)" : ""}
        </text>
      </g>
    </Link>
  );
}
