import { MantineProvider } from "@mantine/core";
import { QueryClientProvider } from "@tanstack/react-query";
import { render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { http, HttpResponse } from "msw";
import { setupServer } from "msw/node";
import { MemoryRouter, Route, Routes } from "react-router";
import { afterAll, beforeAll, expect, test } from "vitest";
import CommandPalette from "@/app/command-palette";
import { palette } from "@/app/palette-store";
import { createQueryClient } from "@/lib/query-client";

const empty = () => HttpResponse.json({ next: null, previous: null, results: [] });
const server = setupServer(
  ...["jobs", "models", "datasets"].map((name) => http.get(`${location.origin}/api/v1/${name}`, empty)),
);
beforeAll(() => server.listen({ onUnhandledRequest: "error" }));
afterAll(() => server.close());

test("what is typed finds a page, and Enter goes there", async () => {
  render(
    <MantineProvider env="test">
      <QueryClientProvider client={createQueryClient()}>
        <MemoryRouter>
          <CommandPalette />
          <Routes>
            <Route path="/cluster" element={<p>the cluster</p>} />
            <Route path="*" element={<p>elsewhere</p>} />
          </Routes>
        </MemoryRouter>
      </QueryClientProvider>
    </MantineProvider>,
  );
  palette.open();
  await userEvent.type(await screen.findByLabelText("Search everything"), "clus{ArrowDown}{Enter}");
  expect(await screen.findByText("the cluster")).toBeInTheDocument();
});
