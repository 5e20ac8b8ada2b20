/** Every (re)start of the job: how it ended, and on which nodes it ran. */
import { Badge, Code, Group, Spoiler, Stack, Text } from "@mantine/core";
import { useSuspenseQuery } from "@tanstack/react-query";
import { Panel } from "@/components/panel";
import { RelativeTime } from "@/components/relative-time";
import type { Attempt } from "@/lib/api-types";
import { formatDuration, humanize, secondsBetween } from "@/lib/format";
import { jobAttemptsQuery } from "@/lib/queries/jobs";
import { useNow } from "@/lib/use-now";

export function JobAttempts({ jobId }: { jobId: string }) {
  const { data } = useSuspenseQuery(jobAttemptsQuery(jobId));
  const attempts = [...data].sort((a, b) => b.number - a.number);
  return (
    <Stack gap="md" data-testid="job-attempts">
      {attempts.map((attempt) => (
        <AttemptPanel key={attempt.id} attempt={attempt} />
      ))}
      {attempts.length === 0 && (
        <Panel>
          <Text fz="sm" c="dimmed">
            The job has not been started yet.
          </Text>
        </Panel>
      )}
    </Stack>
  );
}

function AttemptPanel({ attempt }: { attempt: Attempt }) {
  const now = useNow();
  return (
    <Panel
      title={`Attempt ${attempt.number}`}
      actions={
        <Badge variant="light" color="gray" tt="none">
          {humanize(attempt.state === "ended" ? attempt.outcome : attempt.state)}
        </Badge>
      }
    >
      <Stack gap="xs">
        {attempt.reason && <Text fz="sm">{attempt.reason}</Text>}
        <Text fz="xs" c="dimmed">
          {attempt.started_at ? (
            <>
              Started <RelativeTime iso={attempt.started_at} />, took{" "}
              {formatDuration(secondsBetween(attempt.started_at, attempt.ended_at, now))}
            </>
          ) : (
            "Not started"
          )}
          {attempt.resumed_step !== null && `, went on after step ${attempt.resumed_step}`}
        </Text>
        <Group gap="xs">
          {attempt.allocations.map((allocation) => (
            <Badge key={allocation.node_rank} variant="default" tt="none" fw={500}>
              {allocation.node}
              {allocation.is_warm === true && ", warm"}
            </Badge>
          ))}
        </Group>
        {attempt.traceback && (
          <Spoiler maxHeight={140} showLabel="Show all" hideLabel="Show less">
            <Code block fz="xs" tabIndex={0} role="region" aria-label="Traceback">
              {attempt.traceback}
            </Code>
          </Spoiler>
        )}
      </Stack>
    </Panel>
  );
}
