import { expect, test, vi } from "vitest";
import { LogStore, type LogChunk } from "@/lib/live/log-store";

/** A log on the server: all of it is known, and pages are cut out of it. */
function setUp(initial: string, tailBytes = 1_000) {
  const encoder = new TextEncoder();
  let bytes = encoder.encode(initial);
  const cut = (start: number, stop: number): LogChunk => ({
    start,
    stop,
    text: new TextDecoder().decode(bytes.subarray(start, stop)),
  });
  const loader = {
    tail: vi.fn(() => Promise.resolve(cut(Math.max(0, bytes.length - tailBytes), bytes.length))),
    from: vi.fn((offset: number) => Promise.resolve(cut(offset, bytes.length))),
    before: vi.fn((offset: number) => Promise.resolve(cut(Math.max(0, offset - tailBytes), offset))),
  };
  const write = (text: string): LogChunk => {
    const start = bytes.length;
    bytes = encoder.encode(new TextDecoder().decode(bytes) + text);
    return cut(start, bytes.length);
  };
  const store = new LogStore(loader);
  store.subscribe(() => undefined);
  return { store, loader, write };
}

const settle = () => new Promise((resolve) => setTimeout(resolve, 0));

test("the tail is read when somebody looks, and grows line by line", async () => {
  const { store, write } = setUp("one\ntw");
  await settle();
  expect(store.lines).toEqual(["one", "tw"]);
  store.receive(write("o\nthree\n"));
  expect(store.lines).toEqual(["one", "two", "three", ""]);
});

test("repeats are dropped and overlaps cut, by bytes", async () => {
  const { store, write } = setUp("a\n");
  await settle();
  const first = write("caf\u00e9\n");
  store.receive(first);
  store.receive(first);
  const second = write("end\n");
  store.receive({ start: first.start, stop: second.stop, text: first.text + second.text });
  expect(store.lines).toEqual(["a", "caf\u00e9", "end", ""]);
});

test("a gap is fetched", async () => {
  const { store, loader, write } = setUp("a\n");
  await settle();
  write("lost\n");
  store.receive(write("seen\n"));
  await settle();
  expect(loader.from).toHaveBeenCalledWith(2);
  expect(store.lines).toEqual(["a", "lost", "seen", ""]);
});

test("what arrives while the tail is read is not lost", async () => {
  const { store, write } = setUp("a\n");
  const late = write("b\n");
  const later = write("c\n");
  store.receive(late);
  store.receive(later);
  await settle();
  expect(store.lines).toEqual(["a", "b", "c", ""]);
});

test("earlier pages join in front, also in the middle of a line", async () => {
  const { store } = setUp("first line\nsecond line\n", 9);
  await settle();
  expect(store.start).toBeGreaterThan(0);
  while (store.start > 0) await store.loadBefore();
  expect(store.lines).toEqual(["first line", "second line", ""]);
});

test("a failure is kept for the page, and the next reading clears it", async () => {
  const { store, loader } = setUp("a\n");
  await settle();
  loader.tail.mockRejectedValueOnce(new Error("away"));
  await store.open();
  expect(store.error).toBeInstanceOf(Error);
  await store.open();
  expect(store.error).toBeNull();
});
