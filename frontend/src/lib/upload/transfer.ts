/**
 * The transfer protocol: announce a file by its digest, send the parts the server lacks, finalise.
 *
 * A broken transfer is taken up where it stopped: announcing the same digest again names the parts that are there.
 */
import { api, csrfHeaders, unwrap } from "@/lib/api";
import { ApiError, toApiError } from "@/lib/api-error";
import type { FileEntry } from "@/lib/api-types";
import { digestFile, type Digest } from "./digest";

export interface TransferProgress {
  phase: "hashing" | "sending" | "done";
  bytes: number;
}

export interface TransferOptions {
  project: string;
  file: File;
  /** Its place in the dataset. */
  path: string;
  signal: AbortSignal;
  onProgress: (progress: TransferProgress) => void;
  digest?: Digest;
  /** Wait before another try of a part; tests make it short. */
  retryDelayMs?: number;
}

const TRIES = 5;

/** Refusals that another try cannot mend. */
function isFinal(error: unknown): boolean {
  return error instanceof ApiError && error.status >= 400 && error.status < 500 && ![408, 429].includes(error.status);
}

async function putPart(uploadId: string, number: number, piece: Blob, signal: AbortSignal): Promise<void> {
  const response = await fetch(`/api/v1/uploads/${uploadId}/parts/${number}`, {
    method: "PUT",
    credentials: "same-origin",
    headers: { "Content-Type": "application/octet-stream", ...csrfHeaders() },
    body: piece,
    signal,
  });
  if (!response.ok) throw toApiError(response, await response.json().catch(() => null));
}

async function withRetries(work: () => Promise<void>, delayMs: number, signal: AbortSignal): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await work();
      return;
    } catch (error) {
      if (signal.aborted || isFinal(error) || attempt === TRIES) throw error;
      await new Promise((resolve) => setTimeout(resolve, delayMs * 2 ** (attempt - 1)));
    }
  }
}

/** Bring one file to the server. Returns how a dataset version names it. */
export async function transferFile(options: TransferOptions): Promise<FileEntry> {
  const { project, file, path, signal, onProgress, digest = digestFile, retryDelayMs = 500 } = options;
  const sha256 = await digest(file, (bytes) => onProgress({ phase: "hashing", bytes }), signal);
  const entry = { path, sha256, size_bytes: file.size };
  const upload = await unwrap(
    api.POST("/api/v1/uploads", { body: { project, sha256, size_bytes: file.size }, signal }),
  );
  if (!upload.complete) {
    const received = new Set(upload.received_parts);
    const size = upload.part_size_bytes;
    const count = Math.ceil(file.size / size);
    let sent = 0;
    for (let number = 0; number < count; number += 1) {
      const piece = file.slice(number * size, (number + 1) * size);
      if (!received.has(number)) {
        await withRetries(() => putPart(upload.upload_id, number, piece, signal), retryDelayMs, signal);
      }
      sent += piece.size;
      onProgress({ phase: "sending", bytes: sent });
    }
    await unwrap(api.POST("/api/v1/uploads/{id}/finalise", { params: { path: { id: upload.upload_id } }, signal }));
  }
  onProgress({ phase: "done", bytes: file.size });
  return entry;
}
