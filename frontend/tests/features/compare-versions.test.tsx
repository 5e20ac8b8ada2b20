import { MantineProvider } from "@mantine/core";
import { Notifications } from "@mantine/notifications";
import { QueryClientProvider } from "@tanstack/react-query";
import { render, screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { http, HttpResponse } from "msw";
import { setupServer } from "msw/node";
import { Suspense, type ReactNode } from "react";
import { MemoryRouter } from "react-router";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { CompareVersions } from "@/features/models/compare-versions";
import { frontLine, pointsOf, type Point } from "@/features/models/pareto";
import { PromoteDialog } from "@/features/models/promote-dialog";
import type { Cell, Comparison, ModelVersion } from "@/lib/api-types";
import { createQueryClient } from "@/lib/query-client";

const server = setupServer();
beforeAll(() => server.listen({ onUnhandledRequest: "error" }));
afterEach(() => server.resetHandlers());
afterAll(() => server.close());

const url = (path: string) => `${location.origin}/api/v1/${path}`;
/** For busy machines: drawing a first page may take more than the usual second. */
const PATIENTLY = { timeout: 10_000 };
const AXES = { size: "size_on_disk_bytes", speed: "decode_tokens_per_s_batch1", quality: "perplexity" } as const;

const column = (metric: string, unit: string, isHigherBetter: boolean) => ({
  metric,
  title: metric,
  unit,
  aspect: "quality",
  higher_is_better: isHigherBetter,
  dataset_version: null,
  hardware: null,
  protocol: {},
});

const cell = (metric: string, value: number, differencePct: number | null = null) =>
  ({ metric, value, spread: 0.1, difference: null, difference_pct: differencePct, job: "j1" }) as Cell;

function row(name: string, [size, speed, perplexity]: number[], isOnFront: boolean | null, behind: string | null) {
  const cells = [
    cell(AXES.quality, perplexity ?? 0, name === "tiny_v2" ? 12.5 : null),
    cell(AXES.speed, speed ?? 0),
    cell(AXES.size, size ?? 0, name === "tiny_v2" ? -75 : null),
  ];
  const version = { id: `id-${name}`, name, stage: name === "tiny_v1" ? "production" : "candidate" };
  return { version, cells, is_on_front: isOnFront, dominated_by: behind };
}

const COMPARISON = {
  axes: AXES,
  columns: [column(AXES.quality, "", false), column(AXES.speed, "tokens/s", true), column(AXES.size, "bytes", false)],
  rows: [
    row("tiny_v3", [200, 5, 12], false, "tiny_v2"),
    row("tiny_v2", [100, 20, 9], true, null),
    row("tiny_v1", [400, 10, 8], true, null),
    { ...row("tiny_v0", [1, 1, 1], null, null), cells: [] },
  ],
} as unknown as Comparison;

function show(children: ReactNode) {
  render(
    <MantineProvider>
      <Notifications />
      <QueryClientProvider client={createQueryClient()}>
        <MemoryRouter>
          <Suspense fallback="loading">{children}</Suspense>
        </MemoryRouter>
      </QueryClientProvider>
    </MantineProvider>,
  );
}

test("the table shows differences from the parent, and the plot dims what is dominated", async () => {
  server.use(http.get(url("models/m/comparison"), () => HttpResponse.json(COMPARISON)));
  show(<CompareVersions modelId="m" />);
  expect(await screen.findByTestId("difference-tiny_v2-perplexity", {}, PATIENTLY)).toHaveTextContent("+13%");
  expect(screen.getByTestId("difference-tiny_v2-size_on_disk_bytes")).toHaveTextContent("-75%");
  const table = within(screen.getByTestId("compare-versions"));
  expect(table.getByText("behind tiny_v2")).toBeInTheDocument();
  expect(table.getAllByText("On the front")).toHaveLength(2);
  expect(screen.getByTestId("mark-tiny_v3")).toHaveAttribute("data-front", "false");
  expect(screen.getByTestId("mark-tiny_v2")).toHaveAttribute("data-front", "true");
  expect(screen.queryByTestId("mark-tiny_v0")).toBeNull();
  const mark = screen.getByRole("link", { name: "tiny_v2: 100 B, 9, on the front" });
  expect(mark).toHaveAttribute("href", "/model-versions/id-tiny_v2");
  await userEvent.click(screen.getByText("Speed and quality"));
  expect(screen.getByRole("link", { name: /^tiny_v2: 20 tokens\/s, 9/ })).toBeInTheDocument();
});

test("the line goes through what is best on the two axes shown", () => {
  const points = pointsOf(COMPARISON, "size", "quality");
  expect(points.map((point) => point.name)).toEqual(["tiny_v3", "tiny_v2", "tiny_v1"]);
  const namesOf = (line: Point[]) => line.map((point) => point.name);
  expect(namesOf(frontLine(points, { x: false, y: false }))).toEqual(["tiny_v2", "tiny_v1"]);
  const bySpeed = pointsOf(COMPARISON, "size", "speed");
  expect(namesOf(frontLine(bySpeed, { x: false, y: true }))).toEqual(["tiny_v2"]);
});

test("the dialog tells each verdict, what it would replace, and why it was refused", async () => {
  const sent: unknown[] = [];
  const verdict = { rule: "r", metric: "perplexity", against: "number", dataset_version: "text@1", unit: "" };
  server.use(
    http.get(url("model-versions/v2/verdicts"), () =>
      HttpResponse.json([{ ...verdict, passed: false, message: "9 must be at most 8." }]),
    ),
    http.get(url("models/m/production"), () =>
      HttpResponse.json({ version: { id: "v1", name: "tiny_v1" }, since: null, actor: "", reason: "" }),
    ),
    http.post(url("model-versions/v2/promotions"), async ({ request }) => {
      sent.push(await request.json());
      return HttpResponse.json({ state: "refused", decision: "Not met: perplexity." }, { status: 201 });
    }),
  );
  const version = { id: "v2", name: "tiny_v2", model: "m" } as ModelVersion;
  show(<PromoteDialog version={version} isOpen onClose={() => undefined} />);
  expect(await screen.findByTestId("verdict-perplexity", {}, PATIENTLY)).toHaveTextContent(
    "Not met. 9 must be at most 8.",
  );
  expect(screen.getByText("It will replace tiny_v1.")).toBeInTheDocument();
  await userEvent.click(screen.getByRole("button", { name: "Promote" }));
  expect(await screen.findByRole("alert", { name: "Refused" }, PATIENTLY)).toHaveTextContent("Not met: perplexity.");
  expect(sent).toEqual([{ target: "production", reason: "", override: false, replaces: "v1" }]);
  await userEvent.click(screen.getByLabelText(/^Promote although/));
  expect(screen.getByRole("button", { name: "Promote" })).toBeDisabled();
  await userEvent.type(screen.getByLabelText(/^Reason/), "needed");
  expect(screen.getByRole("button", { name: "Promote" })).toBeEnabled();
});
