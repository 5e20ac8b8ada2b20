/** Every page of the dashboard in one table: the router and the rail both read it. A new page is one row here. */
import { IconListDetails, type Icon } from "@tabler/icons-react";
import type { ComponentType } from "react";

export interface PageEntry {
  path: string;
  load: () => Promise<{ default: ComponentType }>;
  /** Present on pages that stand in the rail. */
  rail?: { label: string; icon: Icon };
}

export const PAGES: PageEntry[] = [
  { path: "/jobs", load: () => import("@/features/jobs/jobs-page"), rail: { label: "Jobs", icon: IconListDetails } },
  { path: "/jobs/:jobId", load: () => import("@/features/jobs/job-page") },
];
