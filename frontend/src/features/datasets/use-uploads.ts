/** The files on their way into a dataset: each with its own progress, and another try after a failure. */
import { useRef, useState } from "react";
import { describeError } from "@/lib/api-error";
import type { FileEntry } from "@/lib/api-types";
import { transferFile, type TransferProgress } from "@/lib/upload/transfer";

export interface UploadItem {
  file: File;
  progress: TransferProgress | null;
  error: string | null;
}

export interface Uploads {
  items: UploadItem[];
  isRunning: boolean;
  add: (files: File[]) => void;
  remove: (file: File) => void;
  /** Bring all files to the server; those that are there already are not sent again. */
  send: (project: string) => Promise<FileEntry[]>;
  stop: () => void;
}

export function useUploads(): Uploads {
  const [items, setItems] = useState<UploadItem[]>([]);
  const [isRunning, setRunning] = useState(false);
  const abort = useRef<AbortController | null>(null);
  const update = (file: File, changes: Partial<UploadItem>) =>
    setItems((old) => old.map((item) => (item.file === file ? { ...item, ...changes } : item)));

  const sendOne = async (file: File, project: string, signal: AbortSignal) => {
    update(file, { error: null });
    try {
      return await transferFile({
        project,
        file,
        path: file.name,
        signal,
        onProgress: (progress) => update(file, { progress }),
      });
    } catch (error) {
      update(file, { error: signal.aborted ? "Stopped." : describeError(error) });
      throw error;
    }
  };
  return {
    items,
    isRunning,
    add: (files) =>
      setItems((old) => {
        const names = new Set(files.map((file) => file.name));
        const fresh = files.map((file) => ({ file, progress: null, error: null }));
        return [...old.filter((item) => !names.has(item.file.name)), ...fresh];
      }),
    remove: (file) => setItems((old) => old.filter((item) => item.file !== file)),
    send: async (project) => {
      const controller = new AbortController();
      abort.current = controller;
      setRunning(true);
      try {
        const entries: FileEntry[] = [];
        // one after another: parts of one file already fill the line
        for (const { file } of items) entries.push(await sendOne(file, project, controller.signal));
        return entries;
      } finally {
        setRunning(false);
      }
    },
    stop: () => abort.current?.abort(),
  };
}
