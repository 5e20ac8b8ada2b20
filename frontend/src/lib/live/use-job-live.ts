/** Follow jobs for as long as a page shows them. */
import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useMemo, useState } from "react";
import { JobLive } from "./job-live";

/** `seq` is the sequence number the job was first read at; later ones come by the stream itself. */
export function useJobLive(jobId: string, seq: number): JobLive {
  const client = useQueryClient();
  const [live] = useState(() => new JobLive(jobId, client));
  const [firstSeq] = useState(seq);
  useEffect(() => live.start(firstSeq), [live, firstSeq]);
  return live;
}

/** Follow several. The same ids give the same objects. */
export function useJobLives(jobs: { id: string; seq: number }[]): JobLive[] {
  const client = useQueryClient();
  const ids = jobs.map((job) => job.id).join(",");
  const followed = useMemo(
    () => jobs.map(({ id, seq }) => ({ live: new JobLive(id, client), seq })),
    [ids, client], // the jobs themselves change with every step
  );
  useEffect(() => {
    const stops = followed.map(({ live, seq }) => live.start(seq));
    return () => stops.forEach((stop) => stop());
  }, [followed]);
  return useMemo(() => followed.map(({ live }) => live), [followed]);
}
