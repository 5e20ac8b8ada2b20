/** What the page knows of job states: colour means state and nothing else, and never stands alone. */
import type { JobState } from "./api-types";

export interface StateStyle {
  label: string;
  /** A colour of the theme. */
  color: string;
  isFinal: boolean;
  /** One clause that ends "The job ...", used when the server gives no reason. */
  meaning: string;
}

export const JOB_STATES: Record<JobState, StateStyle> = {
  queued: { label: "Queued", color: "gray", isFinal: false, meaning: "waits for free slots" },
  starting: { label: "Starting", color: "blue", isFinal: false, meaning: "is being started on its nodes" },
  running: { label: "Running", color: "teal", isFinal: false, meaning: "is running" },
  preempting: { label: "Preempting", color: "yellow", isFinal: false, meaning: "saves and makes room for another job" },
  cancelling: { label: "Cancelling", color: "yellow", isFinal: false, meaning: "stops at the next step boundary" },
  succeeded: { label: "Succeeded", color: "green", isFinal: true, meaning: "has done its work" },
  failed: { label: "Failed", color: "red", isFinal: true, meaning: "failed in its own work" },
  error: { label: "Error", color: "grape", isFinal: true, meaning: "was stopped by a fault of the system, not yours" },
  cancelled: { label: "Cancelled", color: "dark", isFinal: true, meaning: "was cancelled" },
};

export const STATE_NAMES = Object.keys(JOB_STATES) as JobState[];

export function isFinal(state: JobState): boolean {
  return JOB_STATES[state].isFinal;
}
