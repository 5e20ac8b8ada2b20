/** Datasets, their versions and first records. */
import { queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { api, unwrap } from "@/lib/api";
import type { CreateDataset, DatasetVersion, FileEntry } from "@/lib/api-types";

const PREVIEW_RECORDS = 8;
const READING_MS = 1_500; // statistics are computed in the background; look again until they are there

export function datasetsQuery(project?: string) {
  return queryOptions({
    queryKey: ["datasets", "list", project ?? ""],
    queryFn: async () =>
      (
        await unwrap(
          api.GET("/api/v1/datasets", { params: { query: { page_size: 100, ...(project ? { project } : {}) } } }),
        )
      ).results,
  });
}

export function datasetQuery(id: string) {
  return queryOptions({
    queryKey: ["datasets", id, "detail"],
    queryFn: () => unwrap(api.GET("/api/v1/datasets/{id}", { params: { path: { id } } })),
  });
}

export function datasetVersionsQuery(id: string) {
  return queryOptions({
    queryKey: ["datasets", id, "versions"],
    queryFn: async () =>
      (await unwrap(api.GET("/api/v1/datasets/{id}/versions", { params: { path: { id }, query: { page_size: 100 } } })))
        .results,
    refetchInterval: (query) =>
      query.state.data?.some((version: DatasetVersion) => version.state === "pending") ? READING_MS : false,
  });
}

export function datasetPreviewQuery(versionId: string) {
  return queryOptions({
    queryKey: ["datasets", "preview", versionId],
    queryFn: () =>
      unwrap(
        api.GET("/api/v1/dataset-versions/{id}/preview", {
          params: { path: { id: versionId }, query: { limit: PREVIEW_RECORDS } },
        }),
      ),
    staleTime: Number.POSITIVE_INFINITY, // versions never change
  });
}

export function useCreateDataset() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (body: CreateDataset) => unwrap(api.POST("/api/v1/datasets", { body })),
    onSuccess: () => client.invalidateQueries({ queryKey: ["datasets"] }),
  });
}

export function useCreateVersionOf() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: ({ datasetId, body }: { datasetId: string; body: { files: FileEntry[] } | { server_path: string } }) =>
      unwrap(api.POST("/api/v1/datasets/{id}/versions", { params: { path: { id: datasetId } }, body })),
    onSuccess: () => client.invalidateQueries({ queryKey: ["datasets"] }),
  });
}

export function useDeleteDataset(id: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: () => unwrap(api.DELETE("/api/v1/datasets/{id}", { params: { path: { id } } })),
    onSuccess: () => client.invalidateQueries({ queryKey: ["datasets", "list"] }),
  });
}
