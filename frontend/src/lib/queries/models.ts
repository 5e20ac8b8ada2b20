/** Models and their versions. */
import { queryOptions } from "@tanstack/react-query";
import { api, unwrap } from "@/lib/api";

export function modelsQuery(project?: string) {
  return queryOptions({
    queryKey: ["models", "list", project ?? ""],
    queryFn: async () =>
      (
        await unwrap(
          api.GET("/api/v1/models", { params: { query: { page_size: 100, ...(project ? { project } : {}) } } }),
        )
      ).results,
  });
}

export function modelQuery(id: string) {
  return queryOptions({
    queryKey: ["models", id, "detail"],
    queryFn: () => unwrap(api.GET("/api/v1/models/{id}", { params: { path: { id } } })),
  });
}

export function modelVersionsQuery(id: string) {
  return queryOptions({
    queryKey: ["models", id, "versions"],
    queryFn: async () =>
      (await unwrap(api.GET("/api/v1/models/{id}/versions", { params: { path: { id }, query: { page_size: 100 } } })))
        .results,
  });
}

/** The newest versions of all models: for pickers and the overview. */
export function recentVersionsQuery(project?: string) {
  return queryOptions({
    queryKey: ["models", "recent", project ?? ""],
    queryFn: async () =>
      (
        await unwrap(
          api.GET("/api/v1/model-versions", {
            params: { query: { page_size: 50, ...(project ? { project } : {}) } },
          }),
        )
      ).results,
  });
}

/** One version, by id or by name (`tiny_v3`). */
export function modelVersionQuery(idOrName: string) {
  return queryOptions({
    queryKey: ["models", "version", idOrName],
    queryFn: () => unwrap(api.GET("/api/v1/model-versions/{id}", { params: { path: { id: idOrName } } })),
  });
}

const versionUrl = (id: string) => `/api/v1/model-versions/${encodeURIComponent(id)}`;

export function versionFileUrl(id: string, path: string): string {
  return `${versionUrl(id)}/files/${path.split("/").map(encodeURIComponent).join("/")}`;
}

export function versionArchiveUrl(id: string): string {
  return `${versionUrl(id)}/archive`;
}
