/**
 * The curves of one job: read once by REST, then grown by the stream, outside React.
 *
 * A chart subscribes to its own curves and redraws; the page around it does not render again. Each curve
 * remembers the sequence number it was read at: messages up to there are in it already, and those that arrive
 * while it is being read wait until it is there. So no point is missed and none is drawn twice.
 */

export interface CurveData {
  /** Increasing. */
  steps: number[];
  /** NaN and infinities stay what they are; a chart shows them as gaps. */
  values: number[];
}

export interface CurveAnswer extends CurveData {
  /** The newest attempt that has points in it. */
  attempt: number;
  /** The stream's sequence number that the answer was read at. */
  seq: number;
}

export type CurveLoader = (key: string, rank: number) => Promise<CurveAnswer>;

export interface MetricsItem {
  attempt: number;
  rank: number;
  series: { key: string; steps: number[]; values: number[] }[];
}

interface Curve extends CurveData {
  /** null until the first answer is there. */
  seq: number | null;
  attempt: number;
  isLoading: boolean;
  waiting: { seq: number; attempt: number; data: CurveData }[];
  listeners: Set<() => void>;
}

/** Points beyond which a curve is read again down-sampled rather than grown. */
const MAX_POINTS = 8_000;

export class MetricStore {
  private readonly curves = new Map<string, Curve>();
  private readonly load: CurveLoader;
  private readonly onNewSeries: (key: string, rank: number) => void;

  constructor(load: CurveLoader, onNewSeries: (key: string, rank: number) => void = () => undefined) {
    this.load = load;
    this.onNewSeries = onNewSeries;
  }

  /** Follow one curve; it is read at the first call. Returns the function that stops it. */
  subscribe(key: string, rank: number, listener: () => void): () => void {
    const curve = this.curveOf(key, rank);
    curve.listeners.add(listener);
    if (curve.seq === null && !curve.isLoading) void this.reload(key, rank);
    return () => curve.listeners.delete(listener);
  }

  get(key: string, rank: number): CurveData {
    return this.curveOf(key, rank);
  }

  /** The newest finite value, or undefined. */
  last(key: string, rank: number): number | undefined {
    return this.curves.get(`${rank}/${key}`)?.values.findLast(Number.isFinite);
  }

  /** Take one message of the stream. */
  receive(item: MetricsItem, seq: number): void {
    for (const { key, steps, values } of item.series) {
      const known = this.curves.get(`${item.rank}/${key}`);
      if (!known) {
        this.curveOf(key, item.rank);
        this.onNewSeries(key, item.rank);
        continue; // nobody looks at it yet: it is read whole when somebody does
      }
      if (known.seq === null) {
        if (known.isLoading) known.waiting.push({ seq, attempt: item.attempt, data: { steps, values } });
        continue;
      }
      if (seq <= known.seq) continue;
      this.grow(known, item.attempt, { steps, values });
      if (known.steps.length > MAX_POINTS) void this.reload(key, item.rank);
      notify(known);
    }
  }

  /** Read again every curve that is looked at (after a snapshot). */
  async reloadAll(): Promise<void> {
    const wanted = [...this.curves].filter(([, curve]) => curve.seq !== null || curve.isLoading);
    await Promise.all(
      wanted.map(([id]) => {
        const [rank, ...key] = id.split("/");
        return this.reload(key.join("/"), Number(rank));
      }),
    );
  }

  private async reload(key: string, rank: number): Promise<void> {
    const curve = this.curveOf(key, rank);
    if (curve.isLoading) return;
    curve.isLoading = true;
    curve.seq = null;
    try {
      const answer = await this.load(key, rank);
      curve.steps = [...answer.steps];
      curve.values = [...answer.values];
      curve.attempt = answer.attempt;
      curve.seq = answer.seq;
      for (const late of curve.waiting) if (late.seq > answer.seq) this.grow(curve, late.attempt, late.data);
    } catch {
      curve.seq = null; // the next subscriber, snapshot or point tries again
    } finally {
      curve.waiting = [];
      curve.isLoading = false;
      notify(curve);
    }
  }

  /**
   * Add points of `attempt`. A later attempt goes on from a checkpoint: what an earlier one had drawn from that
   * step on is cut, so the curve never doubles back.
   */
  private grow(curve: Curve, attempt: number, data: CurveData): void {
    if (attempt < curve.attempt) return;
    const first = data.steps[0];
    if (first === undefined) return;
    curve.attempt = attempt;
    let keep = curve.steps.length;
    while (keep > 0 && (curve.steps[keep - 1] ?? 0) >= first) keep -= 1;
    curve.steps.length = keep;
    curve.values.length = keep;
    for (const [index, step] of data.steps.entries()) {
      curve.steps.push(step);
      curve.values.push(data.values[index] ?? Number.NaN);
    }
  }

  private curveOf(key: string, rank: number): Curve {
    const id = `${rank}/${key}`;
    let curve = this.curves.get(id);
    if (!curve) {
      curve = { steps: [], values: [], seq: null, attempt: 0, isLoading: false, waiting: [], listeners: new Set() };
      this.curves.set(id, curve);
    }
    return curve;
  }
}

function notify(curve: Curve): void {
  for (const listener of [...curve.listeners]) listener();
}
