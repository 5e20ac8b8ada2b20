/** Every page of the dashboard in one table: the router and the rail both read it. A new page is one row here. */
import {
  IconBox,
  IconDatabase,
  IconHome,
  IconListDetails,
  IconServer2,
  IconSettings,
  type Icon,
} from "@tabler/icons-react";
import type { ComponentType } from "react";

export interface PageEntry {
  path: string;
  load: () => Promise<{ default: ComponentType }>;
  /** Present on pages that stand in the rail. */
  rail?: { label: string; icon: Icon };
}

export const PAGES: PageEntry[] = [
  { path: "/", load: () => import("@/features/home/home-page"), rail: { label: "Home", icon: IconHome } },
  { path: "/jobs", load: () => import("@/features/jobs/jobs-page"), rail: { label: "Jobs", icon: IconListDetails } },
  { path: "/jobs/new", load: () => import("@/features/new-job/new-job-page") },
  { path: "/jobs/compare", load: () => import("@/features/compare/compare-page") },
  { path: "/jobs/:jobId", load: () => import("@/features/jobs/job-page") },
  {
    path: "/datasets",
    load: () => import("@/features/datasets/datasets-page"),
    rail: { label: "Datasets", icon: IconDatabase },
  },
  { path: "/datasets/:datasetId", load: () => import("@/features/datasets/dataset-page") },
  { path: "/models", load: () => import("@/features/models/models-page"), rail: { label: "Models", icon: IconBox } },
  { path: "/models/:modelId", load: () => import("@/features/models/model-page") },
  { path: "/model-versions/:versionId", load: () => import("@/features/models/version-page") },
  {
    path: "/cluster",
    load: () => import("@/features/cluster/cluster-page"),
    rail: { label: "Cluster", icon: IconServer2 },
  },
  {
    path: "/settings",
    load: () => import("@/features/settings/settings-page"),
    rail: { label: "Settings", icon: IconSettings },
  },
];
