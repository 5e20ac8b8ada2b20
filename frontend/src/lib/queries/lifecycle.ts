/** What versions were measured to be, and where they stand: comparison, verdicts, promotions, stages. */
import { queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { api, unwrap } from "@/lib/api";
import type { Promote } from "@/lib/api-types";

const LOOK_AGAIN_MS = 2000;

export function comparisonQuery(modelId: string) {
  return queryOptions({
    queryKey: ["models", modelId, "comparison"],
    queryFn: () => unwrap(api.GET("/api/v1/models/{id}/comparison", { params: { path: { id: modelId } } })),
  });
}

export function stagesQuery(modelId: string) {
  return queryOptions({
    queryKey: ["models", modelId, "stages"],
    queryFn: async () =>
      (
        await unwrap(
          api.GET("/api/v1/models/{id}/stages", { params: { path: { id: modelId }, query: { page_size: 50 } } }),
        )
      ).results,
  });
}

export function productionQuery(modelId: string) {
  return queryOptions({
    queryKey: ["models", modelId, "production"],
    queryFn: () => unwrap(api.GET("/api/v1/models/{id}/production", { params: { path: { id: modelId } } })),
  });
}

export function verdictsQuery(versionId: string) {
  return queryOptions({
    queryKey: ["models", "version", versionId, "verdicts"],
    queryFn: () => unwrap(api.GET("/api/v1/model-versions/{id}/verdicts", { params: { path: { id: versionId } } })),
  });
}

/** Looks again by itself while one waits for its evaluations. */
export function promotionsQuery(versionId: string) {
  return queryOptions({
    queryKey: ["models", "version", versionId, "promotions"],
    queryFn: async () =>
      (
        await unwrap(
          api.GET("/api/v1/model-versions/{id}/promotions", {
            params: { path: { id: versionId }, query: { page_size: 20 } },
          }),
        )
      ).results,
    refetchInterval: (query) =>
      query.state.data?.some((promotion) => promotion.state === "pending") ? LOOK_AGAIN_MS : false,
  });
}

export function usePromote(versionId: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (body: Promote) =>
      unwrap(api.POST("/api/v1/model-versions/{id}/promotions", { params: { path: { id: versionId } }, body })),
    onSuccess: () => client.invalidateQueries({ queryKey: ["models"] }),
  });
}
