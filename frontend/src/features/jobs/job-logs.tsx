/** The output of one rank, live: which attempt, rank and stream, and what to look for. */
import { Button, Group, SegmentedControl, Select, Switch, TextInput } from "@mantine/core";
import { IconDownload, IconSearch } from "@tabler/icons-react";
import { useState } from "react";
import { LogView } from "@/components/log-view";
import { Panel } from "@/components/panel";
import type { JobSummary } from "@/lib/api-types";
import type { JobLive, LogSource } from "@/lib/live/job-live";
import { logDownloadUrl } from "@/lib/queries/jobs";

function numbered(count: number, from: number, label: string): { value: string; label: string }[] {
  return Array.from({ length: count }, (_, index) => ({
    value: String(index + from),
    label: `${label} ${index + from}`,
  }));
}

/** What the node's agent itself says about the attempt. */
const AGENT = { value: "-1", label: "Agent" };

export default function JobLogs({ job, live }: { job: JobSummary; live: JobLive }) {
  const newest = job.attempt ?? 1;
  const [attempt, setAttempt] = useState<number | null>(null); // null follows the newest
  const [rank, setRank] = useState(0);
  const [stream, setStream] = useState<LogSource["stream"]>("stdout");
  const [isFollowing, setFollowing] = useState(true);
  const [needle, setNeedle] = useState("");
  const ranks = Math.max(job.resources.nodes, job.attempt_nodes ?? 1) * job.resources.slots_per_node;
  const source = { attempt: attempt ?? newest, rank, stream };
  const store = live.logStore(source);
  return (
    <Panel isFlush testId="job-logs">
      <Group gap="xs" p="sm">
        {newest > 1 && (
          <Select
            size="xs"
            w={120}
            aria-label="Attempt"
            data={numbered(newest, 1, "Attempt")}
            value={String(source.attempt)}
            onChange={(value) => setAttempt(value === null ? null : Number(value))}
            allowDeselect={false}
          />
        )}
        <Select
          size="xs"
          w={100}
          aria-label="Rank"
          data={[...numbered(ranks, 0, "Rank"), AGENT]}
          value={String(rank)}
          onChange={(value) => setRank(Number(value ?? 0))}
          allowDeselect={false}
          searchable={ranks > 8}
        />
        <SegmentedControl
          size="xs"
          aria-label="Stream"
          data={["stdout", "stderr"]}
          value={stream}
          onChange={(value) => setStream(value)}
        />
        <TextInput
          size="xs"
          w={{ base: "100%", xs: 200 }}
          placeholder="Search"
          aria-label="Search the log"
          leftSection={<IconSearch size={14} />}
          value={needle}
          onChange={(event) => setNeedle(event.currentTarget.value)}
        />
        <Switch
          size="xs"
          label="Follow"
          checked={isFollowing}
          onChange={(event) => setFollowing(event.currentTarget.checked)}
        />
        <Button
          component="a"
          href={logDownloadUrl(job.id, source)}
          download
          size="xs"
          variant="default"
          leftSection={<IconDownload size={14} />}
        >
          Download
        </Button>
      </Group>
      <LogView
        key={`${source.attempt}/${rank}/${stream}`}
        store={store}
        needle={needle}
        isFollowing={isFollowing}
        onFollow={setFollowing}
      />
    </Panel>
  );
}
