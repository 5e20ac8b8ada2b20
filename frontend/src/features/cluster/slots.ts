/** A node's slots, read out of the JSON that the server describes them with. */
import type { Node } from "@/lib/api-types";

export interface Slot {
  id: string;
  index: number;
  /** What it is made of. */
  name: string;
  isFree: boolean;
  /** The job that holds it, where the person may see that job. */
  jobId: string | null;
  jobName: string;
}

const textOf = (value: unknown): string => (typeof value === "string" ? value : "");

export function slotsOf(node: Node): Slot[] {
  return node.devices.map((device) => ({
    id: textOf(device["id"]),
    index: Number(device["index"]),
    name: textOf(device["name"]) || textOf(device["kind"]),
    isFree: device["is_free"] === true,
    jobId: textOf(device["job"]) || null,
    jobName: textOf(device["job_name"]),
  }));
}
