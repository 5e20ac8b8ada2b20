/** The cache of server state, and when a failed request is worth another try. */
import { QueryClient } from "@tanstack/react-query";
import { ApiError } from "./api-error";

function shouldRetry(failures: number, error: Error): boolean {
  const isRefusal = error instanceof ApiError && error.status >= 400 && error.status < 500 && error.status !== 429;
  return !isRefusal && failures < 2;
}

export function createQueryClient(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      queries: { retry: shouldRetry, staleTime: 5_000, refetchOnWindowFocus: true },
      mutations: { retry: false },
    },
  });
}
