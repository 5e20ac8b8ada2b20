/** One model and all its versions. */
import { Badge } from "@mantine/core";
import { useSuspenseQuery } from "@tanstack/react-query";
import { DataTable, type Column } from "@/components/data-table";
import { Page } from "@/components/page";
import { Panel } from "@/components/panel";
import { RelativeTime } from "@/components/relative-time";
import { TextLink } from "@/components/text-link";
import type { ModelVersionSummary } from "@/lib/api-types";
import { formatBytes, formatCount, formatNumber, humanize, toNumber } from "@/lib/format";
import { modelQuery, modelVersionsQuery } from "@/lib/queries/models";
import { useRequiredParam } from "@/lib/use-required-param";
import { CompareVersions } from "./compare-versions";
import { StageHistory } from "./stage-history";

const COLUMNS: Column<ModelVersionSummary>[] = [
  {
    key: "name",
    header: "Version",
    render: (row) => (
      <TextLink to={`/model-versions/${row.id}`} fw={550} fz="sm">
        {row.name}
      </TextLink>
    ),
  },
  {
    key: "stage",
    header: "Stage",
    from: "xs",
    render: (row) => (
      <Badge size="sm" variant="default" tt="none" fw={500}>
        {humanize(row.stage)}
      </Badge>
    ),
  },
  {
    key: "loss",
    header: "Validation loss",
    isNumeric: true,
    render: (row) => formatNumber(toNumber(row.metrics["val_loss"])),
  },
  {
    key: "parameters",
    header: "Parameters",
    isNumeric: true,
    from: "sm",
    render: (row) => formatCount(row.num_parameters),
  },
  { key: "size", header: "Size", isNumeric: true, from: "sm", render: (row) => formatBytes(row.size_bytes) },
  { key: "age", header: "Made", isNumeric: true, from: "xs", render: (row) => <RelativeTime iso={row.created_at} /> },
];

export default function ModelPage() {
  const id = useRequiredParam("modelId");
  const { data: model } = useSuspenseQuery(modelQuery(id));
  const { data } = useSuspenseQuery(modelVersionsQuery(id));
  const versions = [...data].sort((a, b) => b.number - a.number);
  return (
    <Page
      title={model.name}
      parents={[{ label: "Models", to: "/models" }]}
      description={model.description || `In ${model.project_name}`}
    >
      <Panel title="Versions" isFlush testId="versions-table">
        <DataTable label="Versions" columns={COLUMNS} rows={versions} rowKey={(row) => row.id} />
      </Panel>
      <CompareVersions modelId={id} />
      <StageHistory modelId={id} />
    </Page>
  );
}
