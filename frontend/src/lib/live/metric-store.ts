/**
 * The curves of one job: read once by REST, then grown by the stream, outside React.
 *
 * A chart subscribes to its own curves and redraws; the page around it does not render again. Each curve
 * remembers the sequence number it was read at: messages up to there are in it already, and those that arrive
 * while it is being read wait until it is there. So no point is missed and none is drawn twice.
 *
 * While a window of steps is looked at, the curves that the server had down-sampled are read once more, for the
 * window alone, and so finer. Live points go on growing the coarse curve, which continues the fine part.
 */
import { appendTo, cutFrom, emptyCurve, withDetail, type CurveData, type StepWindow } from "./curve";

export interface CurveAnswer extends CurveData {
  /** The newest attempt that has points in it. */
  attempt: number;
  /** The stream's sequence number that the answer was read at. */
  seq: number;
  /** There are more points than these. */
  isSampled: boolean;
}

/** Read one curve, whole or within a window. */
export type CurveLoader = (key: string, rank: number, window: StepWindow | null) => Promise<CurveAnswer>;

export interface MetricsItem {
  attempt: number;
  rank: number;
  series: ({ key: string } & CurveData)[];
}

interface Curve {
  key: string;
  rank: number;
  points: CurveData;
  /** Finer points of the window that is looked at. */
  detail: CurveData | null;
  /** null until the first answer is there. */
  seq: number | null;
  attempt: number;
  isSampled: boolean;
  isLoading: boolean;
  waiting: { seq: number; attempt: number; data: CurveData }[];
  listeners: Set<() => void>;
}

/** Points beyond which a curve is read again down-sampled rather than grown. */
const MAX_POINTS = 8_000;

const idOf = (key: string, rank: number): string => `${rank}/${key}`;

export class MetricStore {
  private readonly curves = new Map<string, Curve>();
  private readonly load: CurveLoader;
  private readonly onNewSeries: (key: string, rank: number) => void;
  private window: StepWindow | null = null;

  constructor(load: CurveLoader, onNewSeries: (key: string, rank: number) => void = () => undefined) {
    this.load = load;
    this.onNewSeries = onNewSeries;
  }

  /** Follow one curve; it is read at the first call. Returns the function that stops it. */
  subscribe(key: string, rank: number, listener: () => void): () => void {
    const curve = this.curveOf(key, rank);
    curve.listeners.add(listener);
    if (curve.seq === null && !curve.isLoading) void this.reload(curve);
    return () => curve.listeners.delete(listener);
  }

  get(key: string, rank: number): CurveData {
    const { points, detail } = this.curveOf(key, rank);
    return detail ? withDetail(points, detail) : points;
  }

  /** The newest finite value, or undefined. */
  last(key: string, rank: number): number | undefined {
    return this.curves.get(idOf(key, rank))?.points.values.findLast(Number.isFinite);
  }

  /** Say which steps are looked at; null is all of them. */
  setWindow(window: StepWindow | null): void {
    if (this.window?.from === window?.from && this.window?.until === window?.until) return;
    this.window = window;
    for (const curve of this.curves.values()) {
      if (window === null && curve.detail !== null) {
        curve.detail = null;
        notify(curve);
      } else if (curve.listeners.size > 0) void this.refine(curve);
    }
  }

  /** Take one message of the stream. */
  receive(item: MetricsItem, seq: number): void {
    for (const { key, ...data } of item.series) {
      const known = this.curves.get(idOf(key, item.rank));
      if (!known) {
        this.curveOf(key, item.rank);
        this.onNewSeries(key, item.rank);
        continue; // nobody looks at it yet: it is read whole when somebody does
      }
      if (known.seq === null) {
        if (known.isLoading) known.waiting.push({ seq, attempt: item.attempt, data });
        continue;
      }
      if (seq <= known.seq) continue;
      grow(known, item.attempt, data);
      if (known.points.steps.length > MAX_POINTS) void this.reload(known);
      notify(known);
    }
  }

  /** Read again every curve that is looked at (after a snapshot). */
  async reloadAll(): Promise<void> {
    const wanted = [...this.curves.values()].filter((curve) => curve.seq !== null || curve.isLoading);
    await Promise.all(wanted.map((curve) => this.reload(curve)));
  }

  private async reload(curve: Curve): Promise<void> {
    if (curve.isLoading) return;
    curve.isLoading = true;
    curve.seq = null;
    try {
      const answer = await this.load(curve.key, curve.rank, null);
      curve.points = columnsOf(answer);
      curve.detail = null;
      curve.attempt = answer.attempt;
      curve.isSampled = answer.isSampled;
      curve.seq = answer.seq;
      for (const late of curve.waiting) if (late.seq > answer.seq) grow(curve, late.attempt, late.data);
    } catch {
      curve.seq = null; // the next subscriber, snapshot or point tries again
    } finally {
      curve.waiting = [];
      curve.isLoading = false;
      notify(curve);
    }
    await this.refine(curve);
  }

  private async refine(curve: Curve): Promise<void> {
    const { window } = this;
    if (window === null || curve.seq === null || !curve.isSampled) return;
    const answer = await this.load(curve.key, curve.rank, window).catch(() => null); // the coarse curve still shows
    if (answer === null || this.window !== window || answer.attempt < curve.attempt) return;
    curve.detail = columnsOf(answer);
    notify(curve);
  }

  private curveOf(key: string, rank: number): Curve {
    const id = idOf(key, rank);
    let curve = this.curves.get(id);
    if (!curve) {
      curve = {
        key,
        rank,
        points: emptyCurve(),
        detail: null,
        seq: null,
        attempt: 0,
        isSampled: false,
        isLoading: false,
        waiting: [],
        listeners: new Set(),
      };
      this.curves.set(id, curve);
    }
    return curve;
  }
}

function columnsOf({ steps, times, values }: CurveData): CurveData {
  return { steps: [...steps], times: [...times], values: [...values] };
}

/** Add points of `attempt`. A later attempt goes on from a checkpoint: what an earlier one drew from there on is cut. */
function grow(curve: Curve, attempt: number, data: CurveData): void {
  const first = data.steps[0];
  if (attempt < curve.attempt || first === undefined) return;
  curve.attempt = attempt;
  appendTo(curve.points, data);
  if (curve.detail) cutFrom(curve.detail, first);
}

function notify(curve: Curve): void {
  for (const listener of [...curve.listeners]) listener();
}
