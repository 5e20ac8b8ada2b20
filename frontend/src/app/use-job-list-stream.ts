/** Keeps every list of jobs live: the `jobs` topic carries summaries, which move rows that are on screen. */
import { useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import type { JobSummary } from "@/lib/api-types";
import { JOBS_KEY, storeJob, type JobPage } from "@/lib/queries/jobs";
import { stream } from "@/lib/stream";

const REFRESH_AFTER_MS = 400;

type ListItem = { kind: "job"; job: JobSummary } | { kind: "batch"; items: ListItem[] };

export function useJobListStream(): void {
  const client = useQueryClient();
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    // A job that no list shows yet, or whose state changed, may belong elsewhere now: the server decides.
    const refreshSoon = () => {
      timer ??= setTimeout(() => {
        timer = undefined;
        void client.invalidateQueries({ queryKey: JOBS_KEY });
        void client.invalidateQueries({ queryKey: ["cluster"] });
      }, REFRESH_AFTER_MS);
    };
    const receive = (item: ListItem) => {
      if (item.kind === "batch") {
        item.items.forEach(receive);
        return;
      }
      const pages = client.getQueriesData<JobPage>({ queryKey: JOBS_KEY });
      const known = pages.flatMap(([, page]) => page?.jobs ?? []).find((job) => job.id === item.job.id);
      if (known?.state !== item.job.state) refreshSoon();
      storeJob(client, item.job);
    };
    let wasOffline = false;
    const stopWatching = stream.onStateChange(() => {
      const isLive = stream.getState() === "live";
      if (isLive && wasOffline) refreshSoon(); // this topic has no replay
      wasOffline = !isLive;
    });
    const unsubscribe = stream.subscribe("jobs", null, {
      onMessage: (data) => receive(data as ListItem),
      onSnapshot: refreshSoon,
    });
    return () => {
      clearTimeout(timer);
      stopWatching();
      unsubscribe();
    };
  }, [client]);
}
