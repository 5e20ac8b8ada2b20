/**
 * The log of one rank's stream, as lines, by byte offset.
 *
 * Offsets make it exact: a message that begins where the text ends is appended, one that lies before it is a
 * repeat, one that begins later means something is missing and is fetched.
 */

export interface LogChunk {
  /** Byte offset of the first byte. */
  start: number;
  /** Byte offset behind the last byte. */
  stop: number;
  text: string;
}

export interface LogLoader {
  /** The last part of what there is. */
  tail: () => Promise<LogChunk>;
  /** What begins at `offset`. */
  from: (offset: number) => Promise<LogChunk>;
  /** What ends at `offset`: a page before it. */
  before: (offset: number) => Promise<LogChunk>;
}

const KEEP_LINES = 50_000;

export class LogStore {
  /** Complete lines, and the last one, which may still grow. */
  lines: string[] = [];
  /** Byte range that is held; stop is -1 until the tail is there. */
  start = 0;
  stop = -1;
  isLoading = false;
  error: unknown = null;
  /** Counts up with every change, for useSyncExternalStore. */
  version = 0;

  private readonly loader: LogLoader;
  private readonly listeners = new Set<() => void>();
  private readonly waiting: LogChunk[] = [];

  constructor(loader: LogLoader) {
    this.loader = loader;
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    if (this.stop < 0 && !this.isLoading) void this.open();
    return () => this.listeners.delete(listener);
  };

  readonly getVersion = (): number => this.version;

  /** Read the tail (again). */
  async open(): Promise<void> {
    await this.fetch(this.loader.tail, (chunk) => {
      this.lines = [];
      this.start = chunk.start;
      this.stop = chunk.start;
      this.append(chunk);
    });
  }

  /** Put the page before the held range in front of it. */
  async loadBefore(): Promise<void> {
    if (this.start === 0) return;
    await this.fetch(
      () => this.loader.before(this.start),
      (chunk) => this.prepend(chunk),
    );
  }

  /** Take one message of the stream. */
  receive(chunk: LogChunk): void {
    if (this.isLoading) {
      this.waiting.push(chunk);
      return;
    }
    if (this.stop < 0 || chunk.stop <= this.stop) return;
    if (chunk.start > this.stop) {
      void this.fill();
      return;
    }
    this.append(chunk);
    this.changed();
  }

  private async fill(): Promise<void> {
    await this.fetch(
      () => this.loader.from(this.stop),
      (chunk) => this.append(chunk),
    );
  }

  private async fetch(load: () => Promise<LogChunk>, take: (chunk: LogChunk) => void): Promise<void> {
    if (this.isLoading) return;
    this.isLoading = true;
    this.changed();
    try {
      take(await load());
      this.error = null;
    } catch (error) {
      this.error = error;
    } finally {
      this.isLoading = false;
      const waited = this.waiting.splice(0);
      if (this.stop >= 0 && this.error === null) for (const chunk of waited) this.receive(chunk);
      this.changed();
    }
  }

  private append(chunk: LogChunk): void {
    if (chunk.stop <= this.stop) return;
    const text = chunk.start < this.stop ? skipBytes(chunk.text, this.stop - chunk.start) : chunk.text;
    const [first = "", ...rest] = text.split("\n");
    const open = this.lines.length - 1;
    if (open >= 0) this.lines[open] = (this.lines[open] ?? "") + first;
    else this.lines.push(first);
    for (const line of rest) this.lines.push(line);
    this.stop = chunk.stop;
    if (this.lines.length > KEEP_LINES) this.forgetOldest();
  }

  private prepend(chunk: LogChunk): void {
    if (chunk.start >= this.start || chunk.stop < this.start) return;
    const lines = chunk.text.split("\n");
    const last = lines.pop() ?? "";
    this.lines[0] = last + (this.lines[0] ?? "");
    this.lines.unshift(...lines);
    this.start = chunk.start;
  }

  private forgetOldest(): void {
    const dropped = this.lines.splice(0, this.lines.length - KEEP_LINES);
    const encoder = new TextEncoder();
    for (const line of dropped) this.start += encoder.encode(line).length + 1;
  }

  private changed(): void {
    this.version += 1;
    for (const listener of [...this.listeners]) listener();
  }
}

function skipBytes(text: string, count: number): string {
  return new TextDecoder().decode(new TextEncoder().encode(text).subarray(count));
}
