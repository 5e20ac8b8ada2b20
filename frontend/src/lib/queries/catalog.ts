/** The kinds of job, with the JSON Schema of each. */
import { queryOptions } from "@tanstack/react-query";
import { api, unwrap } from "@/lib/api";

export const catalogQuery = queryOptions({
  queryKey: ["catalog"],
  queryFn: () => unwrap(api.GET("/api/v1/catalog/")),
  staleTime: 600_000,
});
