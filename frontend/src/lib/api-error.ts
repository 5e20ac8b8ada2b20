/** What the server says when it refuses (`application/problem+json`), as one error type. */

export interface FieldError {
  field: string;
  message: string;
}

interface Problem {
  title: string;
  code: string;
  detail: string;
  remedy: string;
  request_id: string;
  errors: FieldError[];
}

/** A refused or failed request. `message` is fit to be shown. */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  readonly remedy: string;
  readonly requestId: string;
  readonly fieldErrors: FieldError[];

  constructor(status: number, problem: Partial<Problem>) {
    super(problem.detail || problem.title || `The server answered ${status}.`);
    this.name = "ApiError";
    this.status = status;
    this.code = problem.code ?? "unknown";
    this.remedy = problem.remedy ?? "";
    this.requestId = problem.request_id ?? "";
    this.fieldErrors = problem.errors ?? [];
  }
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function fieldErrorsOf(value: unknown): FieldError[] {
  if (!Array.isArray(value)) return [];
  return value.flatMap((item: unknown) => {
    if (typeof item !== "object" || item === null) return [];
    const entry = item as Record<string, unknown>;
    return [{ field: textOf(entry["field"]), message: textOf(entry["message"]) }];
  });
}

/** Read a problem document, or make one from whatever came instead of it (a proxy's page, nothing). */
export function toApiError(response: Response, body: unknown): ApiError {
  const requestId = response.headers.get("X-Request-ID") ?? "";
  if (typeof body !== "object" || body === null) {
    return new ApiError(response.status, { title: response.statusText, request_id: requestId });
  }
  const problem = body as Record<string, unknown>;
  return new ApiError(response.status, {
    title: textOf(problem["title"]),
    code: textOf(problem["code"]),
    detail: textOf(problem["detail"]),
    remedy: textOf(problem["remedy"]),
    request_id: textOf(problem["request_id"]) || requestId,
    errors: fieldErrorsOf(problem["errors"]),
  });
}

/** One sentence for a notification. */
export function describeError(error: unknown): string {
  if (error instanceof ApiError) {
    const fields = error.fieldErrors.map((item) => (item.field ? `${item.field}: ${item.message}` : item.message));
    return [error.message, ...fields, error.remedy].filter(Boolean).join(" ");
  }
  return error instanceof Error ? error.message : "Something went wrong.";
}
