/** Ask a worker for a file's SHA-256. */
import type { DigestReport } from "./digest.worker";

export type Digest = (file: File, onProgress: (bytes: number) => void, signal: AbortSignal) => Promise<string>;

export const digestFile: Digest = (file, onProgress, signal) =>
  new Promise((resolve, reject) => {
    const worker = new Worker(new URL("./digest.worker.ts", import.meta.url), { type: "module" });
    const end = (settle: () => void) => {
      worker.terminate();
      settle();
    };
    signal.addEventListener("abort", () => end(() => reject(new DOMException("Stopped", "AbortError"))), {
      once: true,
    });
    worker.onerror = (event) => end(() => reject(new Error(event.message || "The file could not be read.")));
    worker.onmessage = ({ data }: MessageEvent<DigestReport>) => {
      if (data.type === "progress") onProgress(data.bytes);
      else if (data.type === "done") end(() => resolve(data.sha256));
      else end(() => reject(new Error(data.message)));
    };
    worker.postMessage(file);
  });
