/** Pools, nodes and their slots. */
import { queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { api, unwrap } from "@/lib/api";

const REFRESH_MS = 5_000; // one heartbeat

export const poolsQuery = queryOptions({
  queryKey: ["cluster", "pools"],
  queryFn: async () => (await unwrap(api.GET("/api/v1/pools", { params: { query: { page_size: 100 } } }))).results,
  refetchInterval: REFRESH_MS,
});

export const nodesQuery = queryOptions({
  queryKey: ["cluster", "nodes"],
  queryFn: async () => (await unwrap(api.GET("/api/v1/nodes", { params: { query: { page_size: 200 } } }))).results,
  refetchInterval: REFRESH_MS,
});

export function useDrainNode(id: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (isDraining: boolean) => {
      const params = { path: { id } };
      return isDraining
        ? unwrap(api.POST("/api/v1/nodes/{id}/drain", { params }))
        : unwrap(api.POST("/api/v1/nodes/{id}/undrain", { params }));
    },
    onSuccess: () => client.invalidateQueries({ queryKey: ["cluster"] }),
  });
}
