/** Saved states that the job can go on from. */
import { Badge } from "@mantine/core";
import { IconDeviceFloppy } from "@tabler/icons-react";
import { useSuspenseQuery } from "@tanstack/react-query";
import { DataTable, type Column } from "@/components/data-table";
import { EmptyState } from "@/components/empty-state";
import { Panel } from "@/components/panel";
import { RelativeTime } from "@/components/relative-time";
import type { Checkpoint } from "@/lib/api-types";
import { formatBytes, formatNumber, humanize, toNumber } from "@/lib/format";
import { jobCheckpointsQuery } from "@/lib/queries/jobs";

function metricsText(metrics: Checkpoint["metrics"]): string {
  return Object.entries(metrics)
    .map(([key, value]) => `${humanize(key)} ${formatNumber(toNumber(value))}`)
    .join(", ");
}

const COLUMNS: Column<Checkpoint>[] = [
  { key: "step", header: "Step", isNumeric: true, render: (row) => formatNumber(row.step) },
  {
    key: "state",
    header: "",
    render: (row) => (
      <>
        {row.is_best && (
          <Badge size="sm" variant="light" color="ink" tt="none">
            Best
          </Badge>
        )}{" "}
        {row.deleted_at && (
          <Badge size="sm" variant="default" tt="none">
            Deleted
          </Badge>
        )}
      </>
    ),
  },
  { key: "metrics", header: "Metrics", from: "xs", render: (row) => metricsText(row.metrics) },
  { key: "attempt", header: "Attempt", isNumeric: true, from: "sm", render: (row) => row.attempt },
  { key: "size", header: "Size", isNumeric: true, render: (row) => formatBytes(row.size_bytes) },
  { key: "age", header: "Saved", isNumeric: true, render: (row) => <RelativeTime iso={row.created_at} /> },
];

export default function JobCheckpoints({ jobId }: { jobId: string }) {
  const { data } = useSuspenseQuery(jobCheckpointsQuery(jobId));
  const checkpoints = [...data].sort((a, b) => b.step - a.step);
  if (checkpoints.length === 0) {
    return (
      <Panel>
        <EmptyState
          icon={IconDeviceFloppy}
          title="No checkpoints"
          description="A job saves its state as often as its configuration says, and once more at its end."
        />
      </Panel>
    );
  }
  return (
    <Panel isFlush testId="job-checkpoints">
      <DataTable label="Checkpoints" columns={COLUMNS} rows={checkpoints} rowKey={(row) => row.id} />
    </Panel>
  );
}
