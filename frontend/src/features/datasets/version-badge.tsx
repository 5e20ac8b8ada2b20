/** Whether a version of a dataset can be used yet. */
import { Badge } from "@mantine/core";
import { IconAlertTriangle, IconCircleCheck, IconLoader2 } from "@tabler/icons-react";
import type { DatasetVersion } from "@/lib/api-types";
import { formatPct } from "@/lib/format";

const STATES = {
  pending: { label: "Being read", color: "blue", icon: IconLoader2 },
  ready: { label: "Ready", color: "green", icon: IconCircleCheck },
  failed: { label: "Not usable", color: "red", icon: IconAlertTriangle },
} as const;

export function VersionBadge({ version }: { version: Pick<DatasetVersion, "state" | "progress"> }) {
  const { label, color, icon: Icon } = STATES[version.state];
  return (
    <Badge
      data-testid="version-badge"
      data-state={version.state}
      size="sm"
      variant="light"
      color={color}
      tt="none"
      leftSection={<Icon size={12} aria-hidden />}
    >
      {label}
      {version.state === "pending" && version.progress > 0 && ` ${formatPct(version.progress)}`}
    </Badge>
  );
}
