/** Jobs and what belongs to one: events, attempts, checkpoints, series, points, logs. */
import { keepPreviousData, queryOptions, useMutation, useQueryClient, type QueryClient } from "@tanstack/react-query";
import { api, cursorOf, unwrap } from "@/lib/api";
import { describeError } from "@/lib/api-error";
import type { JobEvent, JobKind, JobSummary, SubmitJob } from "@/lib/api-types";

export interface JobFilter {
  state?: string;
  kind?: JobKind;
  project?: string;
  search?: string;
  /** The model version that the job made. */
  output_version?: string;
  /** The model version that the job starts from. */
  input_version?: string;
  ordering?: string;
  cursor?: string;
  page_size?: number;
}

export const JOBS_KEY = ["jobs"] as const;

export interface JobPage {
  jobs: JobSummary[];
  next: string | null;
  previous: string | null;
}

export function jobsQuery(filter: JobFilter) {
  return queryOptions({
    queryKey: [...JOBS_KEY, filter],
    queryFn: async ({ signal }): Promise<JobPage> => {
      const page = await unwrap(api.GET("/api/v1/jobs", { params: { query: filter }, signal }));
      return { jobs: page.results, next: cursorOf(page.next), previous: cursorOf(page.previous) };
    },
    placeholderData: keepPreviousData,
    // The live topic moves rows; this only catches what a dropped connection missed.
    refetchInterval: 30_000,
  });
}

const jobKey = (id: string, part: string) => ["job", id, part] as const;

export function jobQuery(id: string) {
  return queryOptions({
    queryKey: jobKey(id, "detail"),
    queryFn: () => unwrap(api.GET("/api/v1/jobs/{id}", { params: { path: { id } } })),
    staleTime: 30_000,
  });
}

export function jobEventsQuery(id: string) {
  return queryOptions({
    queryKey: jobKey(id, "events"),
    queryFn: async () =>
      (await unwrap(api.GET("/api/v1/jobs/{id}/events", { params: { path: { id }, query: { page_size: 200 } } })))
        .results,
  });
}

export function jobAttemptsQuery(id: string) {
  return queryOptions({
    queryKey: jobKey(id, "attempts"),
    queryFn: async () =>
      (await unwrap(api.GET("/api/v1/jobs/{id}/attempts", { params: { path: { id }, query: { page_size: 100 } } })))
        .results,
  });
}

export function jobCheckpointsQuery(id: string) {
  return queryOptions({
    queryKey: jobKey(id, "checkpoints"),
    queryFn: async () =>
      (await unwrap(api.GET("/api/v1/jobs/{id}/checkpoints", { params: { path: { id }, query: { page_size: 100 } } })))
        .results,
  });
}

export function jobSeriesQuery(id: string) {
  return queryOptions({
    queryKey: jobKey(id, "series"),
    queryFn: () => unwrap(api.GET("/api/v1/jobs/{id}/metrics", { params: { path: { id } } })),
  });
}

/** Put a newer job into the caches: its own, and every list that shows it. Older news changes nothing. */
export function storeJob(client: QueryClient, job: JobSummary): void {
  client.setQueryData(jobQuery(job.id).queryKey, (old) => (old && old.seq <= job.seq ? { ...old, ...job } : old));
  client.setQueriesData<JobPage>({ queryKey: JOBS_KEY }, (page) =>
    page?.jobs.some((row) => row.id === job.id)
      ? { ...page, jobs: page.jobs.map((row) => (row.id === job.id && row.seq <= job.seq ? job : row)) }
      : page,
  );
}

/** Add an event to a timeline that is already loaded; repeats are dropped. */
export function storeEvent(client: QueryClient, jobId: string, event: JobEvent): void {
  client.setQueryData(jobEventsQuery(jobId).queryKey, (events) =>
    events && !events.some((known) => known.id === event.id) ? [...events, event] : events,
  );
}

export function useSubmitJob() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: ({ body, idempotencyKey }: { body: SubmitJob; idempotencyKey: string }) =>
      unwrap(api.POST("/api/v1/jobs", { body, params: { header: { "Idempotency-Key": idempotencyKey } } })),
    onSuccess: (job) => {
      storeJob(client, job);
      return client.invalidateQueries({ queryKey: JOBS_KEY });
    },
  });
}

export type JobCommand = "cancel" | "kill" | "rerun";

export function useJobCommand(id: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (command: JobCommand) => {
      const params = { path: { id } };
      if (command === "cancel") return unwrap(api.POST("/api/v1/jobs/{id}/cancel", { params }));
      if (command === "kill") return unwrap(api.POST("/api/v1/jobs/{id}/kill", { params }));
      return unwrap(api.POST("/api/v1/jobs/{id}/rerun", { params }));
    },
    onSuccess: (job) => {
      storeJob(client, job);
      return client.invalidateQueries({ queryKey: JOBS_KEY });
    },
  });
}

/** Cancel several. Each is tried; what was refused is told together. */
export function useCancelJobs() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: async (ids: string[]) => {
      const answers = await Promise.allSettled(
        ids.map((id) => unwrap(api.POST("/api/v1/jobs/{id}/cancel", { params: { path: { id } } }))),
      );
      const refused = answers.flatMap((answer) => (answer.status === "rejected" ? [answer.reason as unknown] : []));
      const reasons = new Set(refused.map(describeError));
      if (refused.length > 0) throw new Error(`${refused.length} of ${ids.length}: ${[...reasons].join(" ")}`);
    },
    onSettled: () => client.invalidateQueries({ queryKey: JOBS_KEY }),
  });
}

export function jobArtifactsQuery(id: string) {
  return queryOptions({
    queryKey: jobKey(id, "artifacts"),
    queryFn: async () =>
      (await unwrap(api.GET("/api/v1/jobs/{id}/artifacts", { params: { path: { id }, query: { page_size: 200 } } })))
        .results,
  });
}

export function artifactUrl(jobId: string, entry: number): string {
  return `/api/v1/jobs/${jobId}/artifacts/${entry}/content`;
}

export function logDownloadUrl(jobId: string, source: { attempt: number; rank: number; stream: string }): string {
  const query = new URLSearchParams({
    attempt: String(source.attempt),
    rank: String(source.rank),
    stream: source.stream,
  });
  return `/api/v1/jobs/${jobId}/logs/download?${query.toString()}`;
}

export function useDeleteJob(id: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: () => unwrap(api.DELETE("/api/v1/jobs/{id}", { params: { path: { id } } })),
    onSuccess: () => client.invalidateQueries({ queryKey: JOBS_KEY }),
  });
}
