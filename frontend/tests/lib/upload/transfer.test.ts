import { File as NodeFile } from "node:buffer";
import { http, HttpResponse } from "msw";
import { setupServer } from "msw/node";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { transferFile, type TransferProgress } from "@/lib/upload/transfer";

const server = setupServer();
beforeAll(() => server.listen({ onUnhandledRequest: "error" }));
afterEach(() => server.resetHandlers());
afterAll(() => server.close());

const BASE = `${location.origin}/api/v1/uploads`;

function serve(upload: { received_parts: number[]; complete: boolean }, failures = 0) {
  const parts = new Map<number, string>();
  let left = failures;
  let isFinalised = false;
  server.use(
    http.post(BASE, () => HttpResponse.json({ upload_id: "u1", part_size_bytes: 4, ...upload }, { status: 201 })),
    http.put(`${BASE}/u1/parts/:number`, async ({ params, request }) => {
      if (left > 0) {
        left -= 1;
        return HttpResponse.json({ detail: "busy" }, { status: 503 });
      }
      parts.set(Number(params["number"]), await request.text());
      return new HttpResponse(null, { status: 204 });
    }),
    http.post(`${BASE}/u1/finalise`, () => {
      isFinalised = true;
      return HttpResponse.json({ upload_id: "u1", part_size_bytes: 4, received_parts: [], complete: true });
    }),
  );
  return { parts, isFinalised: () => isFinalised };
}

async function send(text: string) {
  const progress: TransferProgress[] = [];
  const entry = await transferFile({
    project: "p",
    file: new NodeFile([text], "a.txt") as unknown as File, // fetch does not know jsdom's
    path: "a.txt",
    signal: new AbortController().signal,
    onProgress: (step) => progress.push(step),
    digest: () => Promise.resolve("ab".repeat(32)),
    retryDelayMs: 1,
  });
  return { entry, progress };
}

test("a file goes up in parts from 0 and is finalised", async () => {
  const { parts, isFinalised } = serve({ received_parts: [], complete: false });
  const { entry, progress } = await send("0123456789");
  expect([...parts.entries()]).toEqual([
    [0, "0123"],
    [1, "4567"],
    [2, "89"],
  ]);
  expect(isFinalised()).toBe(true);
  expect(entry).toEqual({ path: "a.txt", sha256: "ab".repeat(32), size_bytes: 10 });
  expect(progress.at(-1)).toEqual({ phase: "done", bytes: 10 });
});

test("parts that are there are not sent again", async () => {
  const { parts } = serve({ received_parts: [0, 2], complete: false });
  await send("0123456789");
  expect([...parts.keys()]).toEqual([1]);
});

test("bytes that the server has need no sending at all", async () => {
  const { parts, isFinalised } = serve({ received_parts: [], complete: true });
  await send("0123456789");
  expect(parts.size).toBe(0);
  expect(isFinalised()).toBe(false);
});

test("an empty file has no part", async () => {
  const { parts, isFinalised } = serve({ received_parts: [], complete: false });
  await send("");
  expect(parts.size).toBe(0);
  expect(isFinalised()).toBe(true);
});

test("a part that fails is tried again", async () => {
  const { parts } = serve({ received_parts: [], complete: false }, 2);
  await send("0123");
  expect(parts.get(0)).toBe("0123");
});

test("a refusal is final", async () => {
  serve({ received_parts: [], complete: false });
  server.use(
    http.put(`${BASE}/u1/parts/:number`, () => HttpResponse.json({ detail: "Too large.", code: "x" }, { status: 413 })),
  );
  await expect(send("0123")).rejects.toThrow("Too large.");
});
