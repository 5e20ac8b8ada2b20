/** SHA-256 of a file, read piece by piece away from the page, so that neither memory nor typing suffers. */
import { createSHA256 } from "hash-wasm";

const PIECE_BYTES = 4 * 1024 * 1024;

export type DigestReport =
  { type: "progress"; bytes: number } | { type: "done"; sha256: string } | { type: "error"; message: string };

async function digest(file: File): Promise<string> {
  const hasher = await createSHA256();
  for (let start = 0; start < file.size; start += PIECE_BYTES) {
    const piece = await file.slice(start, start + PIECE_BYTES).arrayBuffer();
    hasher.update(new Uint8Array(piece));
    postMessage({ type: "progress", bytes: Math.min(file.size, start + PIECE_BYTES) } satisfies DigestReport);
  }
  return hasher.digest("hex");
}

addEventListener("message", (event: MessageEvent<File>) => {
  digest(event.data).then(
    (sha256) => postMessage({ type: "done", sha256 } satisfies DigestReport),
    (error: unknown) => postMessage({ type: "error", message: String(error) } satisfies DigestReport),
  );
});
