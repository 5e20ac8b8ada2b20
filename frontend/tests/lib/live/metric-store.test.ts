import { describe, expect, test, vi } from "vitest";
import { MetricStore, type CurveAnswer } from "@/lib/live/metric-store";

const item = (steps: number[], attempt = 1, key = "loss", rank = 0) => ({
  attempt,
  rank,
  series: [{ key, steps, values: steps.map((step) => step / 10) }],
});

function answer(steps: number[], seq: number, attempt = 1): CurveAnswer {
  return { steps, values: steps.map((step) => step / 10), seq, attempt };
}

/** A store whose reads end when the test says so. */
function setUp() {
  const reads: { key: string; rank: number; end: (result: CurveAnswer) => void; fail: () => void }[] = [];
  const onNewSeries = vi.fn();
  const store = new MetricStore(
    (key, rank) =>
      new Promise((resolve, reject) => {
        reads.push({ key, rank, end: resolve, fail: () => reject(new Error("away")) });
      }),
    onNewSeries,
  );
  return { store, reads, onNewSeries };
}

const settle = () => new Promise((resolve) => setTimeout(resolve, 0));

describe("a curve", () => {
  test("is read once, when somebody looks, and then grows", async () => {
    const { store, reads } = setUp();
    const listener = vi.fn();
    store.subscribe("loss", 0, listener);
    store.subscribe("loss", 0, vi.fn());
    expect(reads).toHaveLength(1);
    reads[0]?.end(answer([1, 2, 3], 10));
    await settle();
    store.receive(item([4]), 11);
    expect(store.get("loss", 0).steps).toEqual([1, 2, 3, 4]);
    expect(store.last("loss", 0)).toBe(0.4);
    expect(listener).toHaveBeenCalledTimes(2);
  });

  test("drops messages that its reading already contains", async () => {
    const { store, reads } = setUp();
    store.subscribe("loss", 0, vi.fn());
    reads[0]?.end(answer([1, 2, 3], 10));
    await settle();
    store.receive(item([2]), 9);
    store.receive(item([3]), 10);
    expect(store.get("loss", 0).steps).toEqual([1, 2, 3]);
  });

  test("keeps what arrives while it is read, without repeating what the reading has", async () => {
    const { store, reads } = setUp();
    store.subscribe("loss", 0, vi.fn());
    store.receive(item([3]), 10);
    store.receive(item([4]), 11);
    store.receive(item([5]), 12);
    reads[0]?.end(answer([1, 2, 3, 4], 11));
    await settle();
    expect(store.get("loss", 0).steps).toEqual([1, 2, 3, 4, 5]);
  });

  test("is cut where a resumed attempt goes on", async () => {
    const { store, reads } = setUp();
    store.subscribe("loss", 0, vi.fn());
    reads[0]?.end(answer([1, 2, 3, 4, 5], 10));
    await settle();
    store.receive(item([4], 2), 11);
    store.receive(item([5], 2), 12);
    expect(store.get("loss", 0).steps).toEqual([1, 2, 3, 4, 5]);
    store.receive(item([6], 1), 13); // late words of the attempt that ended
    expect(store.get("loss", 0).steps).toEqual([1, 2, 3, 4, 5]);
    store.receive(item([6, 7], 2), 14);
    expect(store.get("loss", 0).steps).toEqual([1, 2, 3, 4, 5, 6, 7]);
  });

  test("keeps values that are not finite, and its last value skips them", async () => {
    const { store, reads } = setUp();
    store.subscribe("loss", 0, vi.fn());
    reads[0]?.end(answer([1], 1));
    await settle();
    store.receive({ attempt: 1, rank: 0, series: [{ key: "loss", steps: [2], values: [Number.NaN] }] }, 2);
    expect(store.get("loss", 0).values[1]).toBeNaN();
    expect(store.last("loss", 0)).toBe(0.1);
  });

  test("is read again after a failure, when it is looked at anew", async () => {
    const { store, reads } = setUp();
    store.subscribe("loss", 0, vi.fn());
    reads[0]?.fail();
    await settle();
    store.subscribe("loss", 0, vi.fn());
    expect(reads).toHaveLength(2);
  });

  test("is read again after a snapshot, only if somebody looked at it", async () => {
    const { store, reads } = setUp();
    store.subscribe("loss", 0, vi.fn());
    store.subscribe("gpu/memory", 1, vi.fn());
    reads[0]?.end(answer([1], 1));
    reads[1]?.end(answer([1], 1));
    await settle();
    store.receive(item([1], 1, "unseen"), 2);
    const all = store.reloadAll();
    expect(reads.slice(2).map(({ key, rank }) => [key, rank])).toEqual([
      ["loss", 0],
      ["gpu/memory", 1],
    ]);
    reads[2]?.end(answer([1, 2], 50));
    reads[3]?.end(answer([1, 2], 50));
    await all;
    expect(store.get("loss", 0).steps).toEqual([1, 2]);
  });
});

test("a series that was never seen is announced once", () => {
  const { store, onNewSeries } = setUp();
  store.receive(item([1], 1, "grad_norm", 3), 1);
  store.receive(item([2], 1, "grad_norm", 3), 2);
  expect(onNewSeries).toHaveBeenCalledTimes(1);
  expect(onNewSeries).toHaveBeenCalledWith("grad_norm", 3);
});
