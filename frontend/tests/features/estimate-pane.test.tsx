import { MantineProvider } from "@mantine/core";
import { QueryClientProvider } from "@tanstack/react-query";
import { render, screen } from "@testing-library/react";
import { http, HttpResponse } from "msw";
import { setupServer } from "msw/node";
import { afterAll, beforeAll, expect, test } from "vitest";
import { EstimatePane } from "@/features/new-job/estimate-pane";
import { createQueryClient } from "@/lib/query-client";

const ADDRESS = `${location.origin}/api/v1/jobs/estimate`;
const MIB = 1024 * 1024;
const server = setupServer(
  http.post(ADDRESS, () =>
    HttpResponse.json({
      num_ranks: 4,
      training: {
        mesh: { pp: 2, dp_replicate: 1, dp_shard: 1, tp: 2 },
        tokens_per_step: 8192,
        num_parameters: 2_200_000,
        memory: { weights: MIB, gradients: MIB, optimizer: 2 * MIB, activations: 4 * MIB, total: 8 * MIB },
      },
    }),
  ),
);
beforeAll(() => server.listen({ onUnhandledRequest: "error" }));
afterAll(() => server.close());

const draft = { name: "run", spec: {}, resources: { pool: "default", nodes: 1, slots_per_node: 4 }, priority: 0 };

function show() {
  render(
    <MantineProvider env="test">
      <QueryClientProvider client={createQueryClient()}>
        <EstimatePane project="p" draft={draft} />
      </QueryClientProvider>
    </MantineProvider>,
  );
}

test("shows what the server estimates, and what each rank holds", async () => {
  show();
  expect(await screen.findByText("2.2M")).toBeInTheDocument();
  expect(screen.getByText("8 MiB")).toBeInTheDocument();
  expect(screen.getByText(/Weights 1 MiB, gradients 1 MiB, optimizer 2 MiB/i)).toBeInTheDocument();
  expect(screen.getByLabelText("Rank 2: stage 2 of 2, tensor part 1 of 2")).toHaveTextContent("2");
});

test("says why the server would refuse it", async () => {
  const errors = [{ field: "spec.data.dataset", message: "There is no dataset of this name." }];
  server.use(http.post(ADDRESS, () => HttpResponse.json({ title: "Invalid", errors }, { status: 400 })));
  show();
  expect(await screen.findByText(/spec.data.dataset: There is no dataset/)).toBeInTheDocument();
});
