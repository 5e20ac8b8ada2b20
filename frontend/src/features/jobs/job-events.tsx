/** What happened to the job, in order. */
import { Text, Timeline } from "@mantine/core";
import { useSuspenseQuery } from "@tanstack/react-query";
import { Panel } from "@/components/panel";
import { RelativeTime } from "@/components/relative-time";
import type { JobEvent, JobState } from "@/lib/api-types";
import { humanize } from "@/lib/format";
import { JOB_STATES } from "@/lib/job-state";
import { jobEventsQuery } from "@/lib/queries/jobs";

function titleOf(event: JobEvent): string {
  const state = stateAfter(event);
  return state ? JOB_STATES[state].label : humanize(event.action);
}

function stateAfter(event: JobEvent): JobState | null {
  const after: unknown = event.after;
  const name = typeof after === "object" && after !== null ? (after as Record<string, unknown>)["state"] : after;
  return typeof name === "string" && name in JOB_STATES ? (name as JobState) : null;
}

export default function JobEvents({ jobId }: { jobId: string }) {
  const { data } = useSuspenseQuery(jobEventsQuery(jobId));
  const events = [...data].sort((a, b) => b.created_at.localeCompare(a.created_at));
  return (
    <Panel testId="job-events">
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
