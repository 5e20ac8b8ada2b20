/** Everything live about one job: its topic's messages, sorted into the query cache and the stores. */
import type { QueryClient } from "@tanstack/react-query";
import { api, unwrap } from "@/lib/api";
import type { JobEvent, JobSummary } from "@/lib/api-types";
import {
  jobAttemptsQuery,
  jobCheckpointsQuery,
  jobEventsQuery,
  jobQuery,
  jobSeriesQuery,
  storeEvent,
  storeJob,
} from "@/lib/queries/jobs";
import { stream } from "@/lib/stream";
import { curveLoader, millisecondsOf, numbersOf } from "./curve-loader";
import { LogStore } from "./log-store";
import { MetricStore } from "./metric-store";

export interface LogSource {
  attempt: number;
  rank: number;
  stream: "stdout" | "stderr";
}

/** Each item carries its own number: a message may hold several. */
type JobItem = { seq?: number } & JobChange;

interface WireSeries {
  key: string;
  steps: number[];
  times_us: number[];
  values: unknown[];
}

type JobChange =
  | { kind: "job"; job: JobSummary }
  | { kind: "metrics"; attempt: number; rank: number; series: WireSeries[] }
  | ({ kind: "logs"; start: number; stop: number; text: string } & LogSource)
  | { kind: "event"; event: JobEvent }
  | { kind: "checkpoint" }
  | { kind: "batch"; items: JobItem[] };

const LOG_PAGE_BYTES = 65_536;

export class JobLive {
  readonly metrics: MetricStore;
  private readonly logs = new Map<string, LogStore>();
  private readonly jobId: string;
  private readonly client: QueryClient;

  constructor(jobId: string, client: QueryClient) {
    this.jobId = jobId;
    this.client = client;
    this.metrics = new MetricStore(
      curveLoader(jobId),
      () => void client.invalidateQueries({ queryKey: jobSeriesQuery(jobId).queryKey }),
    );
  }

  /** Follow the job from the sequence number its detail was read at. */
  start(after: number): () => void {
    return stream.subscribe(`job:${this.jobId}`, after, {
      onMessage: (data, seq) => this.receive(data as JobItem, seq ?? 0),
      onSnapshot: () => void this.readAgain(),
    });
  }

  logStore(source: LogSource): LogStore {
    const id = `${source.attempt}/${source.rank}/${source.stream}`;
    let store = this.logs.get(id);
    if (!store) {
      store = new LogStore(this.logLoader(source));
      this.logs.set(id, store);
    }
    return store;
  }

  private receive(item: JobItem, messageSeq: number): void {
    const seq = item.seq ?? messageSeq;
    if (item.kind === "batch") for (const inner of item.items) this.receive(inner, seq);
    else if (item.kind === "metrics") {
      const series = item.series.map(({ key, steps, times_us: times, values }) => ({
        key,
        steps,
        times: millisecondsOf(times),
        values: numbersOf(values),
      }));
      this.metrics.receive({ attempt: item.attempt, rank: item.rank, series }, seq);
    } else if (item.kind === "logs") this.logs.get(`${item.attempt}/${item.rank}/${item.stream}`)?.receive(item);
    else if (item.kind === "event") storeEvent(this.client, this.jobId, item.event);
    else if (item.kind === "checkpoint") this.refresh(jobCheckpointsQuery(this.jobId).queryKey);
    else this.takeJob(item.job);
  }

  private takeJob(job: JobSummary): void {
    const before = this.client.getQueryData(jobQuery(this.jobId).queryKey);
    storeJob(this.client, job);
    if (before?.state === job.state && before.attempt === job.attempt) return;
    this.refresh(jobAttemptsQuery(this.jobId).queryKey);
    this.refresh(jobEventsQuery(this.jobId).queryKey);
  }

  private async readAgain(): Promise<void> {
    await this.client.invalidateQueries({ queryKey: ["job", this.jobId] });
    await Promise.all([this.metrics.reloadAll(), ...[...this.logs.values()].map((store) => store.open())]);
  }

  private refresh(queryKey: readonly unknown[]): void {
    void this.client.invalidateQueries({ queryKey });
  }

  private logLoader(source: LogSource) {
    const path = { id: this.jobId };
    const page = (offset: number, limit: number) =>
      unwrap(api.GET("/api/v1/jobs/{id}/logs", { params: { path, query: { ...source, offset, limit } } }));
    return {
      tail: () =>
        unwrap(
          api.GET("/api/v1/jobs/{id}/logs/tail", { params: { path, query: { ...source, limit: LOG_PAGE_BYTES } } }),
        ),
      from: (offset: number) => page(offset, LOG_PAGE_BYTES),
      before: (offset: number) => {
        const start = Math.max(0, offset - LOG_PAGE_BYTES);
        return page(start, offset - start);
      },
    };
  }
}
