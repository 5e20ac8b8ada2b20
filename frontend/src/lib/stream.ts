/**
 * One WebSocket per tab, and the promise that nothing on it is missed or seen twice.
 *
 * Every topic is a gapless sequence kept by the server. A subscriber names the last number it has, gets what
 * it lacks, then goes on live. This client keeps that number per topic (`streaming/subscriptions`), and asks again
 * from there after a reconnection (`streaming/connection`), or when a message was lost.
 */
import { reportSignedOut } from "./api";
import { Connection, type ConnectionState, type SocketLike } from "./streaming/connection";
import { Subscriptions, type ServerFrame, type Subscription, type TopicHandlers } from "./streaming/subscriptions";

export type { ConnectionState, SocketLike } from "./streaming/connection";
export type { TopicHandlers } from "./streaming/subscriptions";

export interface StreamOptions {
  connect: () => SocketLike;
  now?: () => number;
  random?: () => number;
  onSignedOut?: () => void;
}

export class StreamClient {
  private readonly subscriptions = new Subscriptions();
  private readonly connection: Connection;

  constructor({ connect, now = Date.now, random = Math.random, onSignedOut = () => undefined }: StreamOptions) {
    this.connection = new Connection({
      connect,
      now,
      random,
      onSignedOut,
      onOpen: () => this.subscriptions.all().forEach((subscription) => this.ask(subscription)),
      onFrame: (frame) => this.subscriptions.receive(frame as ServerFrame, now()),
      onTick: () => this.subscriptions.takeOverdue(now()).forEach((subscription) => this.ask(subscription)),
    });
  }

  /** For useSyncExternalStore. */
  readonly getState = (): ConnectionState => this.connection.getState();

  /** For useSyncExternalStore. */
  readonly onStateChange = (listener: () => void): (() => void) => this.connection.onStateChange(listener);

  /**
   * Follow a topic from after `after` (null: from now). Returns the function that stops it.
   *
   * A second subscriber of a topic that asks for older messages than the first makes the server replay them;
   * each handler is protected against repeats by its own store (see the live stores), so this is safe.
   */
  subscribe(topic: string, after: number | null, handlers: TopicHandlers): () => void {
    const { subscription, isNews } = this.subscriptions.add(topic, after, handlers);
    if (isNews) this.ask(subscription);
    this.connection.open();
    return () => {
      if (this.subscriptions.remove(subscription, handlers)) this.connection.send({ type: "unsubscribe", topic });
    };
  }

  /** The last sequence number seen of a topic. */
  lastSeq(topic: string): number | null {
    return this.subscriptions.get(topic)?.after ?? null;
  }

  /** Close for good (sign-out). A later subscription opens it again. */
  stop(): void {
    this.connection.stop();
  }

  /** Try at once, as when the browser says that the network is back. */
  retryNow(): void {
    if (this.subscriptions.size > 0) this.connection.retryNow();
  }

  private ask({ topic, after }: Subscription): void {
    this.connection.send({ type: "subscribe", topic, after });
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
