/** Who moved which version where, and why. */
import { Badge } from "@mantine/core";
import { useSuspenseQuery } from "@tanstack/react-query";
import { DataTable, type Column } from "@/components/data-table";
import { Panel } from "@/components/panel";
import { RelativeTime } from "@/components/relative-time";
import { TextLink } from "@/components/text-link";
import type { StageChange } from "@/lib/api-types";
import { stagesQuery } from "@/lib/queries/lifecycle";

const COLUMNS: Column<StageChange>[] = [
  {
    key: "version",
    header: "Version",
    render: (row) => (
      <TextLink to={`/model-versions/${row.version}`} fz="sm">
        {row.version_name}
      </TextLink>
    ),
  },
  {
    key: "change",
    header: "Change",
    render: (row) => (
      <>
        {row.before} to {row.after}{" "}
        {row.is_override && (
          <Badge size="xs" color="red" variant="light" tt="none">
            rules not met
          </Badge>
        )}
      </>
    ),
  },
  { key: "actor", header: "By", from: "sm", render: (row) => row.actor },
  { key: "reason", header: "Reason", from: "sm", render: (row) => row.reason || "-" },
  { key: "age", header: "When", isNumeric: true, render: (row) => <RelativeTime iso={row.created_at} /> },
];

export function StageHistory({ modelId }: { modelId: string }) {
  const { data: changes } = useSuspenseQuery(stagesQuery(modelId));
  if (changes.length === 0) return null;
  return (
    <Panel title="History of stages" isFlush testId="stage-history">
      <DataTable label="History of stages" columns={COLUMNS} rows={changes} rowKey={(row) => row.id} />
    </Panel>
  );
}
