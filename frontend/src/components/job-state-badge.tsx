/** A job's state: icon, word and colour together. */
import { Badge } from "@mantine/core";
import {
  IconAlertTriangle,
  IconBan,
  IconCircleCheck,
  IconCircleX,
  IconClock,
  IconHandStop,
  IconLoader2,
  IconPlayerPlay,
  IconRocket,
} from "@tabler/icons-react";
import type { JobState } from "@/lib/api-types";
import { JOB_STATES } from "@/lib/job-state";
import classes from "./job-state-badge.module.css";

const ICONS: Record<JobState, typeof IconClock> = {
  queued: IconClock,
  starting: IconRocket,
  running: IconPlayerPlay,
  preempting: IconLoader2,
  cancelling: IconHandStop,
  succeeded: IconCircleCheck,
  failed: IconCircleX,
  error: IconAlertTriangle,
  cancelled: IconBan,
};

export function JobStateBadge({ state, size = "md" }: { state: JobState; size?: "sm" | "md" | "lg" }) {
  const { label, color } = JOB_STATES[state];
  const Icon = ICONS[state];
  return (
    <Badge
      data-testid="state-badge"
      data-state={state}
      className={classes.badge}
      data-live={state === "running" || undefined}
      color={color}
      variant={state === "cancelled" ? "default" : "light"}
      size={size}
      leftSection={<Icon size={13} stroke={2.2} aria-hidden />}
      tt="none"
      fw={600}
    >
      {label}
    </Badge>
  );
}
