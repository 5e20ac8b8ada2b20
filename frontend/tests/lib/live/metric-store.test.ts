import { describe, expect, test, vi } from "vitest";
import type { StepWindow } from "@/lib/live/curve";
import { MetricStore, type CurveAnswer } from "@/lib/live/metric-store";

const columns = (steps: number[]) => ({
  steps,
  times: steps.map((step) => step * 1000),
  values: steps.map((step) => step / 10),
});

const item = (steps: number[], attempt = 1, key = "loss", rank = 0) => ({
  attempt,
  rank,
  series: [{ key, ...columns(steps) }],
});

function answer(steps: number[], seq: number, attempt = 1, isSampled = false): CurveAnswer {
  return { ...columns(steps), seq, attempt, isSampled };
}

interface Read {
  key: string;
  rank: number;
  window: StepWindow | null;
  end: (result: CurveAnswer) => void;
  fail: () => void;
}

/** A store whose reads end when the test says so. */
function setUp() {
  const reads: Read[] = [];
  const onNewSeries = vi.fn();
  const store = new MetricStore(
    (key, rank, window) =>
      new Promise((resolve, reject) => {
        reads.push({ key, rank, window, end: resolve, fail: () => reject(new Error("away")) });
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
    store.receive({ attempt: 1, rank: 0, series: [{ key: "loss", steps: [2], times: [2], values: [Number.NaN] }] }, 2);
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

describe("a window", () => {
  /** A curve of which every third point was sent. */
  async function sampled() {
    const all = setUp();
    all.store.subscribe("loss", 0, vi.fn());
    all.reads[0]?.end(answer([1, 4, 7, 10], 10, 1, true));
    await settle();
    return all;
  }

  test("brings finer points for itself, and live ones still come", async () => {
    const { store, reads } = await sampled();
    store.setWindow({ from: 4, until: 10 });
    expect(reads[1]?.window).toEqual({ from: 4, until: 10 });
    store.receive(item([11]), 11);
    reads[1]?.end(answer([4, 5, 6, 7, 8, 9, 10], 10));
    await settle();
    store.receive(item([12]), 12);
    expect(store.get("loss", 0).steps).toEqual([1, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    store.setWindow(null);
    expect(store.get("loss", 0).steps).toEqual([1, 4, 7, 10, 11, 12]);
  });

  test("reads nothing of a curve that is there whole", async () => {
    const { store, reads } = setUp();
    store.subscribe("loss", 0, vi.fn());
    reads[0]?.end(answer([1, 2, 3], 10));
    await settle();
    store.setWindow({ from: 1, until: 2 });
    expect(reads).toHaveLength(1);
  });

  test("that has moved on does not take the answer of the last one", async () => {
    const { store, reads } = await sampled();
    store.setWindow({ from: 1, until: 4 });
    store.setWindow({ from: 7, until: 10 });
    reads[2]?.end(answer([7, 8, 9, 10], 10));
    reads[1]?.end(answer([1, 2, 3, 4], 10));
    await settle();
    expect(store.get("loss", 0).steps).toEqual([1, 4, 7, 8, 9, 10]);
  });

  test("is cut with the curve where a resumed attempt goes on", async () => {
    const { store, reads } = await sampled();
    store.setWindow({ from: 4, until: 10 });
    reads[1]?.end(answer([4, 5, 6, 7, 8, 9, 10], 10));
    await settle();
    store.receive(item([8], 2), 11);
    expect(store.get("loss", 0).steps).toEqual([1, 4, 5, 6, 7, 8]);
  });
});
