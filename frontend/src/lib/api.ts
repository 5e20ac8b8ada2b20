/** The typed REST client: same origin, session cookie, CSRF token on every write. */
import createClient, { type Middleware } from "openapi-fetch";
import { ApiError, toApiError } from "./api-error";
import type { paths } from "./api-schema";

const SAFE_METHODS = new Set(["GET", "HEAD", "OPTIONS"]);

let csrfToken = "";
let onSignedOut: () => void = () => undefined;

/** Remember the token the session endpoint gave; Django turns it over at login. */
export function setCsrfToken(token: string): void {
  csrfToken = token;
}

export function csrfHeaders(): Record<string, string> {
  return csrfToken ? { "X-CSRFToken": csrfToken } : {};
}

/** Call `handler` when a request is refused because nobody is signed in any more. */
export function whenSignedOut(handler: () => void): void {
  onSignedOut = handler;
}

/** Say that nobody is signed in any more. */
export function reportSignedOut(): void {
  onSignedOut();
}

const session: Middleware = {
  onRequest({ request }) {
    if (!SAFE_METHODS.has(request.method) && csrfToken) request.headers.set("X-CSRFToken", csrfToken);
    return request;
  },
  onResponse({ response, schemaPath }) {
    if (response.status === 401 && !schemaPath.includes("/auth/")) onSignedOut();
    return undefined;
  },
};

export const api = createClient<paths>({
  baseUrl: typeof location === "undefined" ? "http://localhost" : location.origin,
  credentials: "same-origin",
  // looked up at each call, so that tests may replace it
  fetch: (request) => globalThis.fetch(request),
});
api.use(session);

interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/**
 * Wait for a call and return its body.
 *
 * Throws ApiError when the server refused or could not be reached.
 */
export async function unwrap<T>(call: Promise<Answer<T>>): Promise<T> {
  let answer: Answer<T>;
  try {
    answer = await call;
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError(0, { code: "unreachable", detail: "The server cannot be reached. Is it running?" });
  }
  if (!answer.response.ok) throw toApiError(answer.response, answer.error);
  return answer.data as T;
}

/** The cursor inside a `next` link, or null at the end of a list. */
export function cursorOf(link: string | null | undefined): string | null {
  return link ? new URL(link, "http://localhost").searchParams.get("cursor") : null;
}
