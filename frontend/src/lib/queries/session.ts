/** Who is signed in. */
import { queryOptions, useMutation, useQueryClient } from "@tanstack/react-query";
import { api, setCsrfToken, unwrap } from "@/lib/api";
import type { Session } from "@/lib/api-types";
import { stream } from "@/lib/stream";

async function fetchSession(): Promise<Session> {
  const session = await unwrap(api.GET("/api/v1/auth/session"));
  setCsrfToken(session.csrf_token);
  return session;
}

export const sessionQuery = queryOptions({ queryKey: ["session"], queryFn: fetchSession, staleTime: 60_000 });

export function useSignIn() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: async (credentials: { username: string; password: string }) => {
      await unwrap(api.POST("/api/v1/auth/login", { body: credentials }));
      return fetchSession(); // signing in turns the CSRF token over
    },
    onSuccess: (session) => client.setQueryData(sessionQuery.queryKey, session),
  });
}

export function useSignOut() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: async () => unwrap(api.POST("/api/v1/auth/logout")),
    onSuccess: async () => {
      stream.stop();
      client.clear();
      client.setQueryData(sessionQuery.queryKey, await fetchSession());
    },
  });
}
