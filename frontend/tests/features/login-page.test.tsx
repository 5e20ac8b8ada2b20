import { MantineProvider } from "@mantine/core";
import { QueryClientProvider } from "@tanstack/react-query";
import { render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { http, HttpResponse } from "msw";
import { setupServer } from "msw/node";
import { MemoryRouter, Route, Routes } from "react-router";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import LoginPage from "@/features/auth/login-page";
import { createQueryClient } from "@/lib/query-client";

const server = setupServer();
beforeAll(() => server.listen({ onUnhandledRequest: "error" }));
afterEach(() => server.resetHandlers());
afterAll(() => server.close());

const url = (path: string) => `${location.origin}/api/v1/auth/${path}`;
const user = { id: "1", username: "ada", workspaces: [] };

function show(address = "/login") {
  render(
    <MantineProvider>
      <QueryClientProvider client={createQueryClient()}>
        <MemoryRouter initialEntries={[address]}>
          <Routes>
            <Route path="/login" element={<LoginPage />} />
            <Route path="/jobs" element={<p>the jobs</p>} />
            <Route path="/models" element={<p>the models</p>} />
          </Routes>
        </MemoryRouter>
      </QueryClientProvider>
    </MantineProvider>,
  );
}

async function signIn() {
  await userEvent.type(screen.getByLabelText("Username"), "ada");
  await userEvent.type(screen.getByLabelText("Password"), "secret");
  await userEvent.click(screen.getByRole("button", { name: "Sign in" }));
}

/** A server that knows one password and wants its CSRF token back. */
function serve() {
  let isSignedIn = false;
  server.use(
    http.get(url("session"), () =>
      HttpResponse.json({ authenticated: isSignedIn, user: isSignedIn ? user : null, csrf_token: "t0ken" }),
    ),
    http.post(url("login"), ({ request }) => {
      isSignedIn = request.headers.get("X-CSRFToken") === "t0ken";
      return HttpResponse.json(
        { authenticated: isSignedIn, user, csrf_token: "t1" },
        { status: isSignedIn ? 200 : 403 },
      );
    }),
  );
}

test("signing in leads to the jobs", async () => {
  serve();
  show();
  await signIn();
  expect(await screen.findByText("the jobs")).toBeInTheDocument();
});

test("signing in leads back to where the person came from", async () => {
  serve();
  show("/login?next=%2Fmodels");
  await signIn();
  expect(await screen.findByText("the models")).toBeInTheDocument();
});

test("an address of another site is not followed", async () => {
  serve();
  show("/login?next=%2F%2Fevil.example");
  await signIn();
  expect(await screen.findByText("the jobs")).toBeInTheDocument();
});

test("a refusal says why", async () => {
  serve();
  server.use(
    http.post(url("login"), () =>
      HttpResponse.json(
        { title: "Bad Request", detail: "Name or password is wrong.", code: "bad_credentials", errors: [], remedy: "" },
        { status: 400, headers: { "Content-Type": "application/problem+json" } },
      ),
    ),
  );
  show();
  await signIn();
  expect(await screen.findByRole("alert")).toHaveTextContent("Name or password is wrong.");
});
