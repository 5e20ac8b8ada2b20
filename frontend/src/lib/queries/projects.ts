/** Workspaces and the projects in them. */
import { queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { api, unwrap } from "@/lib/api";

export const workspacesQuery = queryOptions({
  queryKey: ["workspaces"],
  queryFn: async () => (await unwrap(api.GET("/api/v1/workspaces", { params: { query: { page_size: 100 } } }))).results,
  staleTime: 60_000,
});

export const projectsQuery = queryOptions({
  queryKey: ["projects"],
  queryFn: async () => (await unwrap(api.GET("/api/v1/projects", { params: { query: { page_size: 100 } } }))).results,
  staleTime: 60_000,
});

export function useCreateProject() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (body: { workspace: string; name: string; description: string }) =>
      unwrap(api.POST("/api/v1/projects", { body })),
    onSuccess: () => client.invalidateQueries({ queryKey: projectsQuery.queryKey }),
  });
}
