/**
 * One WebSocket per tab, and the promise that nothing on it is missed or seen twice.
 *
 * Every topic is a gapless sequence kept by the server. A subscriber names the last number it has, gets what
 * it lacks, then goes on live. This client keeps that number per topic, drops what it has already seen, and asks
 * again from there after a reconnection, or when the server's announced head stays ahead of what has arrived.
 */

import { reportSignedOut } from "./api";

export type ConnectionState = "connecting" | "live" | "offline";

/** What a subscriber is told. */
export interface TopicHandlers {
  /** New data, each exactly once and in order. `seq` is null on topics without replay. */
  onMessage: (data: unknown, seq: number | null) => void;
  /** The client is too far behind to replay: fetch by REST, and call `resolved` with the seq of that answer. */
  onSnapshot?: (seq: number) => void;
  onError?: (code: string) => void;
}

interface Subscription {
  topic: string;
  /** Last sequence number seen; null until known, or on topics without replay. */
  after: number | null;
  handlers: Set<TopicHandlers>;
  /** When the announced head was first seen ahead of `after`; 0 when it is not. */
  behindSince: number;
}

type ServerFrame =
  | { type: "subscribed"; topic: string; seq: number | null }
  | { type: "message"; topic: string; seq: number | null; data: unknown }
  | { type: "snapshot"; topic: string; seq: number }
  | { type: "head"; heads: Record<string, number> }
  | { type: "error"; topic?: string; code: string };

/** The part of WebSocket that is used; tests give their own. */
export interface SocketLike {
  onopen: (() => void) | null;
  onclose: ((event: { code: number }) => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  send: (text: string) => void;
  close: () => void;
}

export interface StreamOptions {
  connect: () => SocketLike;
  now?: () => number;
  random?: () => number;
  onSignedOut?: () => void;
}

const FIRST_RETRY_MS = 250;
const LONGEST_RETRY_MS = 10_000;
/** The server announces heads every 5 s; silence of several of them means the connection is dead. */
const SILENCE_MS = 20_000;
/** A head may overtake a message that is still being sent; only then is it a gap. */
const GAP_GRACE_MS = 2_000;
const WATCH_EVERY_MS = 1_000;
/** Nobody is signed in any more: no retry can mend that. */
const NOT_SIGNED_IN = 4401;

export class StreamClient {
  private readonly connect: () => SocketLike;
  private readonly now: () => number;
  private readonly random: () => number;
  private readonly signedOut: () => void;
  private readonly subscriptions = new Map<string, Subscription>();
  private readonly listeners = new Set<() => void>();
  private socket: SocketLike | null = null;
  private isOpen = false;
  private failures = 0;
  private lastHeardAt = 0;
  private retryTimer: ReturnType<typeof setTimeout> | undefined;
  private watchTimer: ReturnType<typeof setInterval> | undefined;
  private state: ConnectionState = "connecting";

  constructor(options: StreamOptions) {
    this.connect = options.connect;
    this.now = options.now ?? (() => Date.now());
    this.random = options.random ?? (() => Math.random());
    this.signedOut = options.onSignedOut ?? (() => undefined);
  }

  /** For useSyncExternalStore. */
  readonly getState = (): ConnectionState => this.state;

  /** For useSyncExternalStore. */
  readonly onStateChange = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /**
   * Follow a topic from after `after` (null: from now). Returns the function that stops it.
   *
   * A second subscriber of a topic that asks for older messages than the first makes the server replay them;
   * each handler is protected against repeats by its own store (see the live stores), so this is safe.
   */
  subscribe(topic: string, after: number | null, handlers: TopicHandlers): () => void {
    let subscription = this.subscriptions.get(topic);
    if (subscription) {
      subscription.handlers.add(handlers);
      if (after !== null && (subscription.after === null || after < subscription.after)) {
        subscription.after = after;
        this.sendSubscribe(subscription);
      }
    } else {
      subscription = { topic, after, handlers: new Set([handlers]), behindSince: 0 };
      this.subscriptions.set(topic, subscription);
      this.sendSubscribe(subscription);
    }
    this.open();
    const followed = subscription;
    return () => this.unsubscribe(followed, handlers);
  }

  /** The last sequence number seen of a topic. */
  lastSeq(topic: string): number | null {
    return this.subscriptions.get(topic)?.after ?? null;
  }

  /** Close for good (sign-out). A later subscription opens it again. */
  stop(): void {
    clearTimeout(this.retryTimer);
    clearInterval(this.watchTimer);
    this.retryTimer = undefined;
    this.watchTimer = undefined;
    this.dropSocket();
    this.failures = 0;
    this.setState("connecting");
  }

  /** Try at once, as when the browser says that the network is back. */
  retryNow(): void {
    if (this.isOpen || this.subscriptions.size === 0) return;
    this.failures = 0;
    clearTimeout(this.retryTimer);
    this.retryTimer = undefined;
    this.open();
  }

  private unsubscribe(subscription: Subscription, handlers: TopicHandlers): void {
    subscription.handlers.delete(handlers);
    if (subscription.handlers.size > 0 || this.subscriptions.get(subscription.topic) !== subscription) return;
    this.subscriptions.delete(subscription.topic);
    this.send({ type: "unsubscribe", topic: subscription.topic });
  }

  private open(): void {
    if (this.socket !== null || this.retryTimer !== undefined) return;
    const socket = this.connect();
    this.socket = socket;
    this.lastHeardAt = this.now();
    socket.onopen = () => {
      this.isOpen = true;
      this.failures = 0;
      this.lastHeardAt = this.now();
      this.setState("live");
      for (const subscription of this.subscriptions.values()) this.sendSubscribe(subscription);
    };
    socket.onmessage = (event) => {
      this.lastHeardAt = this.now();
      const frame = parseFrame(event.data);
      if (frame) this.receive(frame);
    };
    socket.onclose = (event) => {
      const isSignedOut = event.code === NOT_SIGNED_IN;
      this.onClosed(isSignedOut);
      if (isSignedOut) this.signedOut();
    };
    this.watchTimer ??= setInterval(() => this.watch(), WATCH_EVERY_MS);
  }

  private onClosed(isFinal: boolean): void {
    this.dropSocket();
    this.setState("offline");
    if (isFinal) return;
    // Full jitter between half and the whole of the delay: a restarted server is not met by every tab at once.
    const delay = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** this.failures);
    this.failures += 1;
    this.retryTimer = setTimeout(
      () => {
        this.retryTimer = undefined;
        this.open();
      },
      delay * (0.5 + this.random() / 2),
    );
  }

  private dropSocket(): void {
    const socket = this.socket;
    this.socket = null;
    this.isOpen = false;
    if (!socket) return;
    socket.onopen = null;
    socket.onmessage = null;
    socket.onclose = null;
    socket.close();
  }

  private receive(frame: ServerFrame): void {
    if (frame.type === "head") {
      this.noteHeads(frame.heads);
      return;
    }
    const subscription = frame.topic === undefined ? undefined : this.subscriptions.get(frame.topic);
    if (!subscription) return;
    if (frame.type === "message") this.deliver(subscription, frame.data, frame.seq);
    else if (frame.type === "snapshot") this.reset(subscription, frame.seq);
    else if (frame.type === "subscribed") subscription.after ??= frame.seq;
    else for (const handlers of [...subscription.handlers]) handlers.onError?.(frame.code);
  }

  private deliver(subscription: Subscription, data: unknown, seq: number | null): void {
    if (seq !== null) {
      if (subscription.after !== null && seq <= subscription.after) return;
      subscription.after = seq;
      subscription.behindSince = 0;
    }
    for (const handlers of [...subscription.handlers]) handlers.onMessage(data, seq);
  }

  private reset(subscription: Subscription, seq: number): void {
    subscription.after = seq;
    subscription.behindSince = 0;
    for (const handlers of [...subscription.handlers]) handlers.onSnapshot?.(seq);
  }

  private noteHeads(heads: Record<string, number>): void {
    for (const [topic, head] of Object.entries(heads)) {
      const subscription = this.subscriptions.get(topic);
      if (!subscription || subscription.after === null) continue;
      if (head <= subscription.after) subscription.behindSince = 0;
      else if (subscription.behindSince === 0) subscription.behindSince = this.now();
    }
  }

  private watch(): void {
    if (!this.isOpen) return;
    if (this.now() - this.lastHeardAt > SILENCE_MS) {
      this.onClosed(false);
      return;
    }
    for (const subscription of this.subscriptions.values()) {
      if (subscription.behindSince === 0 || this.now() - subscription.behindSince < GAP_GRACE_MS) continue;
      subscription.behindSince = 0;
      this.sendSubscribe(subscription);
    }
  }

  private sendSubscribe(subscription: Subscription): void {
    this.send({ type: "subscribe", topic: subscription.topic, after: subscription.after });
  }

  private send(frame: object): void {
    if (this.isOpen) this.socket?.send(JSON.stringify(frame));
  }

  private setState(state: ConnectionState): void {
    if (state === this.state) return;
    this.state = state;
    for (const listener of [...this.listeners]) listener();
  }
}

function parseFrame(data: unknown): ServerFrame | null {
  if (typeof data !== "string") return null;
  try {
    const frame: unknown = JSON.parse(data);
    return typeof frame === "object" && frame !== null && "type" in frame ? (frame as ServerFrame) : null;
  } catch {
    return null;
  }
}

function streamUrl(): string {
  const url = new URL("/ws/v1/stream", location.origin);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}

/** The tab's one connection. */
export const stream = new StreamClient({
  connect: () => new WebSocket(streamUrl()) as unknown as SocketLike,
  onSignedOut: reportSignedOut,
});

if (typeof window !== "undefined") {
  window.addEventListener("online", () => stream.retryNow());
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible") stream.retryNow();
  });
}
