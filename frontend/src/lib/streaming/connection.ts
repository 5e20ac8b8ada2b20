/** One WebSocket that stays up: tried again with growing delays, and given up for dead when it falls silent. */

export type ConnectionState = "connecting" | "live" | "offline";

/** The part of WebSocket that is used; tests give their own. */
export interface SocketLike {
  onopen: (() => void) | null;
  onclose: ((event: { code: number }) => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  send: (text: string) => void;
  close: () => void;
}

export interface ConnectionOptions {
  connect: () => SocketLike;
  now: () => number;
  random: () => number;
  onOpen: () => void;
  onFrame: (frame: object) => void;
  /** Called once a second while the connection is open. */
  onTick: () => void;
  onSignedOut: () => void;
}

const FIRST_RETRY_MS = 250;
const LONGEST_RETRY_MS = 10_000;
/** The server announces heads every 5 s; silence of several of them means the connection is dead. */
const SILENCE_MS = 20_000;
const WATCH_EVERY_MS = 1_000;
/** Nobody is signed in any more: no retry can mend that. */
const NOT_SIGNED_IN = 4401;

export class Connection {
  private readonly options: ConnectionOptions;
  private readonly listeners = new Set<() => void>();
  private socket: SocketLike | null = null;
  private isOpen = false;
  private failures = 0;
  private lastHeardAt = 0;
  private retryTimer: ReturnType<typeof setTimeout> | undefined;
  private watchTimer: ReturnType<typeof setInterval> | undefined;
  private state: ConnectionState = "connecting";

  constructor(options: ConnectionOptions) {
    this.options = options;
  }

  /** For useSyncExternalStore. */
  readonly getState = (): ConnectionState => this.state;

  /** For useSyncExternalStore. */
  readonly onStateChange = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** Connect, unless that is done or under way. */
  open(): void {
    if (this.socket !== null || this.retryTimer !== undefined) return;
    const { options } = this;
    const socket = options.connect();
    this.socket = socket;
    this.lastHeardAt = options.now();
    socket.onopen = () => {
      this.isOpen = true;
      this.failures = 0;
      this.lastHeardAt = options.now();
      this.setState("live");
      options.onOpen();
    };
    socket.onmessage = (event) => {
      this.lastHeardAt = options.now();
      const frame = parseFrame(event.data);
      if (frame) options.onFrame(frame);
    };
    socket.onclose = (event) => {
      const isSignedOut = event.code === NOT_SIGNED_IN;
      this.onClosed(isSignedOut);
      if (isSignedOut) options.onSignedOut();
    };
    this.watchTimer ??= setInterval(() => this.watch(), WATCH_EVERY_MS);
  }

  /** Send, where there is a connection; who subscribes is asked again at the next one anyway. */
  send(frame: object): void {
    if (this.isOpen) this.socket?.send(JSON.stringify(frame));
  }

  /** Close until the next `open`. */
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
    if (this.isOpen) return;
    this.failures = 0;
    clearTimeout(this.retryTimer);
    this.retryTimer = undefined;
    this.open();
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
      delay * (0.5 + this.options.random() / 2),
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

  private watch(): void {
    if (!this.isOpen) return;
    if (this.options.now() - this.lastHeardAt > SILENCE_MS) this.onClosed(false);
    else this.options.onTick();
  }

  private setState(state: ConnectionState): void {
    if (state === this.state) return;
    this.state = state;
    for (const listener of [...this.listeners]) listener();
  }
}

function parseFrame(data: unknown): object | null {
  if (typeof data !== "string") return null;
  try {
    const frame: unknown = JSON.parse(data);
    return typeof frame === "object" && frame !== null ? frame : null;
  } catch {
    return null;
  }
}
