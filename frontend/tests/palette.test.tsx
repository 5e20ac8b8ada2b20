import { MantineProvider } from "@mantine/core";
import { QueryClientProvider } from "@tanstack/react-query";
import { render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { delay, http, HttpResponse } from "msw";
import { setupServer } from "msw/node";
import { MemoryRouter, useLocation } from "react-router";
import { afterAll, beforeAll, beforeEach, expect, test, vi } from "vitest";
import CommandPalette from "@/app/command-palette";
import { createQueryClient } from "@/lib/query-client";

const listed = (results: unknown[]) => HttpResponse.json({ next: null, previous: null, results });
const job = (id: string, name: string) => ({ id, name, number: 7, state: "running", project_name: "default" });
const JOBS = [job("a", "pretrain"), job("b", "recluster"), job("c", "distil")];

const server = setupServer(
  http.get(`${location.origin}/api/v1/jobs`, async ({ request }) => {
    const search = new URL(request.url).searchParams.get("search") ?? "";
    await delay(search ? 60 : 0);
    return listed(JOBS.filter(({ name }) => name.includes(search)));
  }),
  ...["models", "datasets"].map((name) => http.get(`${location.origin}/api/v1/${name}`, () => listed([]))),
);
beforeAll(() => server.listen({ onUnhandledRequest: "error" }));
afterAll(() => server.close());

const onClose = vi.fn();
const Where = () => <p data-testid="where">{useLocation().pathname}</p>;

beforeEach(async () => {
  onClose.mockClear();
  render(
    <MantineProvider env="test">
      <QueryClientProvider client={createQueryClient()}>
        <MemoryRouter>
          <CommandPalette opened onClose={onClose} />
          <Where />
        </MemoryRouter>
      </QueryClientProvider>
    </MantineProvider>,
  );
  await screen.findByRole("option", { name: /^pretrain #7/ });
});

const type = async (keys: string) => userEvent.type(screen.getByLabelText("Search everything"), keys);
const currentName = () => screen.getByRole("option", { selected: true }).textContent;

test("Enter goes to the first of what was found, and the palette closes", async () => {
  await type("clus{Enter}");
  expect(screen.getByTestId("where")).toHaveTextContent("/cluster");
  expect(onClose).toHaveBeenCalledOnce();
});

test("arrow keys go round what holds the query, never through what was found before", async () => {
  await type("clus");
  expect(screen.queryByRole("option", { name: /^pretrain/ })).not.toBeInTheDocument();
  await type("{ArrowDown}");
  expect(currentName()).toMatch(/^recluster/);
  await type("{ArrowDown}{ArrowUp}{Enter}");
  expect(screen.getByTestId("where")).toHaveTextContent("/jobs/b");
});

test("what is chosen stays so when the server's answer comes", async () => {
  await type("s{ArrowUp}");
  expect(currentName()).toMatch(/^distil/);
  await vi.waitFor(() => expect(screen.getAllByRole("option", { name: /#7/ })).toHaveLength(2));
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(currentName()).toMatch(/^distil/);
  const input = screen.getByLabelText("Search everything");
  expect(input).toHaveAttribute("aria-activedescendant", screen.getByRole("option", { selected: true }).id);
});
