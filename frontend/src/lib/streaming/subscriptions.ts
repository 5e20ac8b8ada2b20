/**
 * Who follows which topic, and how far each has come: the sequence bookkeeping, without a socket.
 *
 * `after` only grows. A message at or below it has been seen and is dropped; an announced head that stays ahead of it
 * means that a message was lost, and the topic is due to be asked for again.
 */

/** What a subscriber is told. */
export interface TopicHandlers {
  /** New data, each exactly once and in order. `seq` is null on topics without replay. */
  onMessage: (data: unknown, seq: number | null) => void;
  /** The client is too far behind to replay: fetch by REST; what comes later continues from `seq`. */
  onSnapshot?: (seq: number) => void;
  onError?: (code: string) => void;
}

export interface Subscription {
  readonly topic: string;
  /** Last sequence number seen; null until known, or on topics without replay. */
  after: number | null;
  readonly handlers: Set<TopicHandlers>;
  /** When the announced head was first seen ahead of `after`; 0 when it is not. */
  behindSince: number;
}

export type ServerFrame =
  | { type: "subscribed"; topic: string; seq: number | null }
  | { type: "message"; topic: string; seq: number | null; data: unknown }
  | { type: "snapshot"; topic: string; seq: number }
  | { type: "head"; heads: Record<string, number> }
  | { type: "error"; topic?: string; code: string };

/** A head may overtake a message that is still being sent; only then is it a gap. */
const GAP_GRACE_MS = 2_000;

export class Subscriptions {
  private readonly byTopic = new Map<string, Subscription>();

  get size(): number {
    return this.byTopic.size;
  }

  all(): Subscription[] {
    return [...this.byTopic.values()];
  }

  get(topic: string): Subscription | undefined {
    return this.byTopic.get(topic);
  }

  /** Add a subscriber. Returns the subscription, and whether the server has to be told. */
  add(topic: string, after: number | null, handlers: TopicHandlers): { subscription: Subscription; isNews: boolean } {
    const known = this.byTopic.get(topic);
    if (!known) {
      const subscription = { topic, after, handlers: new Set([handlers]), behindSince: 0 };
      this.byTopic.set(topic, subscription);
      return { subscription, isNews: true };
    }
    known.handlers.add(handlers);
    const isNews = after !== null && (known.after === null || after < known.after);
    if (isNews) known.after = after;
    return { subscription: known, isNews };
  }

  /** Take a subscriber away. Returns whether it was the topic's last. */
  remove(subscription: Subscription, handlers: TopicHandlers): boolean {
    subscription.handlers.delete(handlers);
    if (subscription.handlers.size > 0 || this.byTopic.get(subscription.topic) !== subscription) return false;
    this.byTopic.delete(subscription.topic);
    return true;
  }

  /** Take one frame of the server. */
  receive(frame: ServerFrame, now: number): void {
    if (frame.type === "head") {
      this.noteHeads(frame.heads, now);
      return;
    }
    const subscription = frame.topic === undefined ? undefined : this.byTopic.get(frame.topic);
    if (!subscription) return;
    if (frame.type === "message") deliver(subscription, frame.data, frame.seq);
    else if (frame.type === "snapshot") reset(subscription, frame.seq);
    else if (frame.type === "subscribed") subscription.after ??= frame.seq;
    else for (const handlers of [...subscription.handlers]) handlers.onError?.(frame.code);
  }

  /** Topics that lost a message and are to be asked for again; each is named once. */
  takeOverdue(now: number): Subscription[] {
    const overdue = this.all().filter(({ behindSince }) => behindSince !== 0 && now - behindSince >= GAP_GRACE_MS);
    for (const subscription of overdue) subscription.behindSince = 0;
    return overdue;
  }

  private noteHeads(heads: Record<string, number>, now: number): void {
    for (const [topic, head] of Object.entries(heads)) {
      const subscription = this.byTopic.get(topic);
      if (!subscription || subscription.after === null) continue;
      if (head <= subscription.after) subscription.behindSince = 0;
      else if (subscription.behindSince === 0) subscription.behindSince = now;
    }
  }
}

function deliver(subscription: Subscription, data: unknown, seq: number | null): void {
  if (seq !== null) {
    if (subscription.after !== null && seq <= subscription.after) return;
    subscription.after = seq;
    subscription.behindSince = 0;
  }
  for (const handlers of [...subscription.handlers]) handlers.onMessage(data, seq);
}

function reset(subscription: Subscription, seq: number): void {
  subscription.after = seq;
  subscription.behindSince = 0;
  for (const handlers of [...subscription.handlers]) handlers.onSnapshot?.(seq);
}
