/** Follow one job for as long as its page is open. */
import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { JobLive } from "@/lib/live/job-live";

/** `seq` is the sequence number the job was first read at; later ones come by the stream itself. */
export function useJobLive(jobId: string, seq: number): JobLive {
  const client = useQueryClient();
  const [live] = useState(() => new JobLive(jobId, client));
  const [firstSeq] = useState(seq);
  useEffect(() => live.start(firstSeq), [live, firstSeq]);
  return live;
}
