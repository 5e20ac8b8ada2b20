/** What a job would take, asked before it is submitted. */
import { queryOptions } from "@tanstack/react-query";
import { api, unwrap } from "@/lib/api";
import type { EstimateJob } from "@/lib/api-types";

export function estimateQuery(body: EstimateJob) {
  return queryOptions({
    queryKey: ["estimate", body],
    queryFn: () => unwrap(api.POST("/api/v1/jobs/estimate", { body })),
    retry: false, // a refusal is an answer
    staleTime: 10_000,
    gcTime: 60_000,
  });
}
