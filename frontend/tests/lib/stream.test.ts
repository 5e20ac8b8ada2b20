import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { StreamClient, type SocketLike } from "@/lib/stream";

interface Frame {
  type: string;
  topic?: string;
  after?: number | null;
}

/** The server's end of a socket, in the test's hands. */
class FakeSocket implements SocketLike {
  onopen: (() => void) | null = null;
  onclose: ((event: { code: number }) => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  sent: Frame[] = [];
  isClosed = false;

  send(text: string): void {
    this.sent.push(JSON.parse(text) as Frame);
  }
  close(): void {
    this.isClosed = true;
  }
  open(): void {
    this.onopen?.();
  }
  give(frame: object): void {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }
  drop(code = 1006): void {
    this.onclose?.({ code });
  }
}

const TOPIC = "job:1";

function message(seq: number | null, data: unknown = seq, topic = TOPIC): object {
  return { type: "message", topic, seq, data };
}

function setUp(random = 1) {
  const sockets: FakeSocket[] = [];
  const onSignedOut = vi.fn();
  const client = new StreamClient({
    connect: () => {
      const socket = new FakeSocket();
      sockets.push(socket);
      return socket;
    },
    random: () => random,
    onSignedOut,
  });
  const latest = () => {
    const socket = sockets.at(-1);
    if (!socket) throw new Error("no socket was opened");
    return socket;
  };
  const subscribes = (socket = latest()) => socket.sent.filter((frame) => frame.type === "subscribe");
  return { client, sockets, latest, subscribes, onSignedOut };
}

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

describe("a subscription", () => {
  test("opens one socket for all topics and names the last number it has", () => {
    const { client, sockets, latest } = setUp();
    client.subscribe(TOPIC, 7, { onMessage: vi.fn() });
    client.subscribe("jobs", null, { onMessage: vi.fn() });
    expect(sockets).toHaveLength(1);
    expect(latest().sent).toEqual([]); // not before it is open
    latest().open();
    expect(latest().sent).toEqual([
      { type: "subscribe", topic: TOPIC, after: 7 },
      { type: "subscribe", topic: "jobs", after: null },
    ]);
  });

  test("delivers in order, each once", () => {
    const { client, latest } = setUp();
    const seen: unknown[] = [];
    client.subscribe(TOPIC, 7, { onMessage: (data) => seen.push(data) });
    latest().open();
    for (const seq of [6, 7, 8, 9, 9, 8, 10]) latest().give(message(seq));
    expect(seen).toEqual([8, 9, 10]);
    expect(client.lastSeq(TOPIC)).toBe(10);
  });

  test("takes a message that stands for several numbers", () => {
    const { client, latest } = setUp();
    const onMessage = vi.fn();
    client.subscribe(TOPIC, 7, { onMessage });
    latest().open();
    latest().give(message(12));
    latest().give(message(11));
    expect(onMessage).toHaveBeenCalledTimes(1);
    expect(client.lastSeq(TOPIC)).toBe(12);
  });

  test("without a number goes on from where the server says it stands", () => {
    const { client, sockets, subscribes } = setUp();
    client.subscribe(TOPIC, null, { onMessage: vi.fn() });
    sockets[0]?.open();
    sockets[0]?.give({ type: "subscribed", topic: TOPIC, seq: 40 });
    sockets[0]?.drop();
    vi.advanceTimersByTime(1_000);
    sockets[1]?.open();
    expect(subscribes()).toEqual([{ type: "subscribe", topic: TOPIC, after: 40 }]);
  });

  test("passes on what has no number, as the list of jobs does", () => {
    const { client, latest } = setUp();
    const onMessage = vi.fn();
    client.subscribe("jobs", null, { onMessage });
    latest().open();
    latest().give(message(null, "a", "jobs"));
    latest().give(message(null, "a", "jobs"));
    expect(onMessage).toHaveBeenCalledTimes(2);
  });

  test("ends when its last subscriber goes, and hears nothing more", () => {
    const { client, latest } = setUp();
    const first = vi.fn();
    const second = vi.fn();
    const stopFirst = client.subscribe(TOPIC, 1, { onMessage: first });
    const stopSecond = client.subscribe(TOPIC, 1, { onMessage: second });
    latest().open();
    stopFirst();
    latest().give(message(2));
    expect(latest().sent.at(-1)?.type).toBe("subscribe");
    stopSecond();
    expect(latest().sent.at(-1)).toEqual({ type: "unsubscribe", topic: TOPIC });
    latest().give(message(3));
    expect(first).not.toHaveBeenCalled();
    expect(second).toHaveBeenCalledTimes(1);
  });

  test("that needs older messages than the one before asks for them", () => {
    const { client, latest, subscribes } = setUp();
    client.subscribe(TOPIC, 9, { onMessage: vi.fn() });
    latest().open();
    client.subscribe(TOPIC, 4, { onMessage: vi.fn() });
    expect(subscribes().map((frame) => frame.after)).toEqual([9, 4]);
  });

  test("is told when the server refuses the topic", () => {
    const { client, latest } = setUp();
    const onError = vi.fn();
    client.subscribe(TOPIC, 1, { onMessage: vi.fn(), onError });
    latest().open();
    latest().give({ type: "error", topic: TOPIC, code: "not_found" });
    expect(onError).toHaveBeenCalledWith("not_found");
  });

  test("survives frames that are no JSON or nobody's", () => {
    const { client, latest } = setUp();
    const onMessage = vi.fn();
    client.subscribe(TOPIC, 1, { onMessage });
    latest().open();
    latest().onmessage?.({ data: "{" });
    latest().onmessage?.({ data: new ArrayBuffer(2) });
    latest().give(message(5, "x", "job:other"));
    latest().give({ type: "error", topic: null, code: "invalid" });
    expect(onMessage).not.toHaveBeenCalled();
  });
});

describe("after the server was away", () => {
  test("resubscribes from the last number seen: no gap, no repeat", () => {
    const { client, sockets, subscribes } = setUp();
    const seen: unknown[] = [];
    client.subscribe(TOPIC, 0, { onMessage: (data) => seen.push(data) });
    sockets[0]?.open();
    for (const seq of [1, 2, 3]) sockets[0]?.give(message(seq));
    sockets[0]?.drop();
    vi.advanceTimersByTime(1_000);
    sockets[1]?.open();
    expect(subscribes()).toEqual([{ type: "subscribe", topic: TOPIC, after: 3 }]);
    for (const seq of [3, 4, 5]) sockets[1]?.give(message(seq));
    expect(seen).toEqual([1, 2, 3, 4, 5]);
  });

  test("waits longer after each failure, at most ten seconds, and starts afresh after a success", () => {
    const { client, sockets } = setUp();
    client.subscribe(TOPIC, 0, { onMessage: vi.fn() });
    const waits: number[] = [];
    for (let attempt = 0; attempt < 8; attempt += 1) {
      const before = sockets.length;
      sockets.at(-1)?.drop();
      let waited = 0;
      while (sockets.length === before) {
        vi.advanceTimersByTime(50);
        waited += 50;
      }
      waits.push(waited);
    }
    expect(waits.slice(0, 4)).toEqual([250, 500, 1_000, 2_000]);
    expect(Math.max(...waits)).toBe(10_000);
    sockets.at(-1)?.open();
    sockets.at(-1)?.drop();
    const before = sockets.length;
    vi.advanceTimersByTime(250);
    expect(sockets).toHaveLength(before + 1);
  });

  test("waits between half and the whole of the delay, so that tabs do not come back together", () => {
    const { client, sockets } = setUp(0);
    client.subscribe(TOPIC, 0, { onMessage: vi.fn() });
    sockets[0]?.drop();
    vi.advanceTimersByTime(124);
    expect(sockets).toHaveLength(1);
    vi.advanceTimersByTime(1);
    expect(sockets).toHaveLength(2);
  });

  test("says so, and says when it is back", () => {
    const { client, sockets } = setUp();
    const states: string[] = [];
    client.onStateChange(() => states.push(client.getState()));
    client.subscribe(TOPIC, 0, { onMessage: vi.fn() });
    sockets[0]?.open();
    sockets[0]?.drop();
    vi.advanceTimersByTime(300);
    sockets[1]?.open();
    expect(states).toEqual(["live", "offline", "live"]);
  });

  test("comes back at once when the browser says that the network is there", () => {
    const { client, sockets } = setUp();
    client.subscribe(TOPIC, 0, { onMessage: vi.fn() });
    for (let index = 0; index < 6; index += 1) {
      sockets.at(-1)?.drop();
      vi.advanceTimersByTime(10_000);
    }
    sockets.at(-1)?.drop();
    const before = sockets.length;
    client.retryNow();
    expect(sockets).toHaveLength(before + 1);
  });

  test("does not try again when nobody is signed in, and reports it", () => {
    const { client, sockets, onSignedOut } = setUp();
    client.subscribe(TOPIC, 0, { onMessage: vi.fn() });
    sockets[0]?.open();
    sockets[0]?.drop(4401);
    vi.advanceTimersByTime(60_000);
    expect(sockets).toHaveLength(1);
    expect(onSignedOut).toHaveBeenCalledTimes(1);
    client.subscribe("jobs", null, { onMessage: vi.fn() }); // signed in again
    expect(sockets).toHaveLength(2);
  });

  test("takes a connection that has gone silent for dead", () => {
    const { client, sockets } = setUp();
    client.subscribe(TOPIC, 0, { onMessage: vi.fn() });
    sockets[0]?.open();
    vi.advanceTimersByTime(15_000);
    sockets[0]?.give({ type: "head", heads: {} });
    vi.advanceTimersByTime(15_000);
    expect(client.getState()).toBe("live");
    vi.advanceTimersByTime(10_000);
    expect(sockets[0]?.isClosed).toBe(true);
    expect(sockets.length).toBeGreaterThan(1);
  });

  test("ignores what a dropped socket still says", () => {
    const { client, sockets } = setUp();
    const onMessage = vi.fn();
    client.subscribe(TOPIC, 0, { onMessage });
    sockets[0]?.open();
    sockets[0]?.drop();
    sockets[0]?.give(message(1));
    expect(onMessage).not.toHaveBeenCalled();
  });

  test("stops for good at sign-out", () => {
    const { client, sockets } = setUp();
    client.subscribe(TOPIC, 0, { onMessage: vi.fn() });
    sockets[0]?.open();
    client.stop();
    vi.advanceTimersByTime(60_000);
    expect(sockets).toHaveLength(1);
    expect(sockets[0]?.isClosed).toBe(true);
  });
});

describe("a gap", () => {
  test("is asked for again when the announced head stays ahead", () => {
    const { client, latest, subscribes } = setUp();
    const seen: unknown[] = [];
    client.subscribe(TOPIC, 5, { onMessage: (data) => seen.push(data) });
    latest().open();
    latest().give({ type: "head", heads: { [TOPIC]: 6 } });
    vi.advanceTimersByTime(4_000);
    expect(subscribes().map((frame) => frame.after)).toEqual([5, 5]);
    latest().give(message(6));
    expect(seen).toEqual([6]);
  });

  test("is none when the message was only on its way", () => {
    const { client, latest, subscribes } = setUp();
    client.subscribe(TOPIC, 5, { onMessage: vi.fn() });
    latest().open();
    latest().give({ type: "head", heads: { [TOPIC]: 6 } });
    vi.advanceTimersByTime(1_000);
    latest().give(message(6));
    vi.advanceTimersByTime(10_000);
    expect(subscribes()).toHaveLength(1);
  });

  test("is none when the head is behind or of another topic", () => {
    const { client, latest, subscribes } = setUp();
    client.subscribe(TOPIC, 5, { onMessage: vi.fn() });
    latest().open();
    latest().give({ type: "head", heads: { [TOPIC]: 4, "job:other": 99 } });
    vi.advanceTimersByTime(10_000);
    expect(subscribes()).toHaveLength(1);
  });
});

describe("a snapshot", () => {
  test("tells the page to read again, and goes on from its number", () => {
    const { client, latest } = setUp();
    const seen: unknown[] = [];
    const onSnapshot = vi.fn();
    client.subscribe(TOPIC, 5, { onMessage: (data) => seen.push(data), onSnapshot });
    latest().open();
    latest().give({ type: "snapshot", topic: TOPIC, seq: 5_000 });
    latest().give(message(4_999));
    latest().give(message(5_001));
    expect(onSnapshot).toHaveBeenCalledWith(5_000);
    expect(seen).toEqual([5_001]);
  });
});
