/** What happened, by whom and why, beside each attempt and how it ended. */
import { SimpleGrid } from "@mantine/core";
import { JobAttempts } from "./job-attempts";
import { JobEvents } from "./job-events";

export default function JobTimeline({ jobId }: { jobId: string }) {
  return (
    <SimpleGrid cols={{ base: 1, lg: 2 }} spacing="md" style={{ alignItems: "start" }}>
      <JobEvents jobId={jobId} />
      <JobAttempts jobId={jobId} />
    </SimpleGrid>
  );
}
