import { render, screen } from "@testing-library/react";
import { http, HttpResponse } from "msw";
import { setupServer } from "msw/node";
import { afterAll, beforeAll, expect, test } from "vitest";
import { App } from "@/app/app";

const server = setupServer(
  http.get(`${location.origin}/api/v1/auth/session`, () =>
    HttpResponse.json({ authenticated: false, user: null, csrf_token: "t" }),
  ),
);
beforeAll(() => server.listen({ onUnhandledRequest: "error" }));
afterAll(() => server.close());

test("who is not signed in is asked to, whatever the address", async () => {
  window.history.pushState({}, "", "/jobs/compare?jobs=1");
  render(<App />);
  expect(await screen.findByLabelText("Username", {}, { timeout: 10_000 })).toBeInTheDocument();
  expect(location.search).toBe(`?next=${encodeURIComponent("/jobs/compare?jobs=1")}`);
});
