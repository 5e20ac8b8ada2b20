/** What happened to the job, in order. */
import { Text, Timeline } from "@mantine/core";
import { useSuspenseQuery } from "@tanstack/react-query";
import { Panel } from "@/components/panel";
import { RelativeTime } from "@/components/relative-time";
import type { JobEvent, JobState } from "@/lib/api-types";
import { formatNamed, humanize } from "@/lib/format";
import { JOB_STATES } from "@/lib/job-state";
import { jobEventsQuery } from "@/lib/queries/jobs";

function stateAfter(event: JobEvent): JobState | null {
  const name = event.after?.["state"];
  return typeof name === "string" && name in JOB_STATES ? (name as JobState) : null;
}

/** `Phase: tokenize`, `Checkpoint saved: step 200`; a change of state is its name. */
function titleOf(event: JobEvent): string {
  const state = stateAfter(event);
  if (state) return JOB_STATES[state].label;
  const detail = Object.entries(event.after ?? {})
    .filter(([, value]) => typeof value === "string" || typeof value === "number")
    .map(([key, value]) => {
      const text = typeof value === "number" ? formatNamed(key, value) : String(value);
      return key === event.action ? text : `${humanize(key).toLowerCase()} ${text}`;
    });
  return [humanize(event.action), detail.join(", ")].filter(Boolean).join(": ");
}

/** Newest first; what happened in the same instant keeps the order of the stream. */
function newestFirst(a: JobEvent, b: JobEvent): number {
  return (b.seq ?? 0) - (a.seq ?? 0) || b.created_at.localeCompare(a.created_at);
}

export function JobEvents({ jobId }: { jobId: string }) {
  const { data } = useSuspenseQuery(jobEventsQuery(jobId));
  const events = [...data].sort(newestFirst);
  return (
    <Panel title="Events" testId="job-events">
      <Timeline bulletSize={14} lineWidth={2} active={-1}>
        {events.map((event) => {
          const state = stateAfter(event);
          return (
            <Timeline.Item
              key={event.id}
              color={state ? JOB_STATES[state].color : "gray"}
              title={
                <Text fz="sm" fw={600}>
                  {titleOf(event)}
                </Text>
              }
            >
              {event.reason && (
                <Text fz="sm" style={{ overflowWrap: "anywhere" }}>
                  {event.reason}
                </Text>
              )}
              <Text fz="xs" c="dimmed">
                <RelativeTime iso={event.created_at} /> by {event.actor}
              </Text>
            </Timeline.Item>
          );
        })}
      </Timeline>
      {events.length === 0 && (
        <Text fz="sm" c="dimmed">
          Nothing has happened yet.
        </Text>
      )}
    </Panel>
  );
}
