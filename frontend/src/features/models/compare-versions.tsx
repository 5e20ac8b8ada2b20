/** The versions of a model side by side: figures, and how far each is from its parent's. */
import { Stack, Text, Tooltip } from "@mantine/core";
import { useSuspenseQuery } from "@tanstack/react-query";
import { DataTable, type Column } from "@/components/data-table";
import { Panel } from "@/components/panel";
import { TextLink } from "@/components/text-link";
import type { ComparedVersion, Comparison, ComparisonColumn } from "@/lib/api-types";
import { humanize } from "@/lib/format";
import { comparisonQuery } from "@/lib/queries/lifecycle";
import { differenceText, figureText } from "./figures";
import { ParetoPlot } from "./pareto-plot";

export function CompareVersions({ modelId }: { modelId: string }) {
  const { data: comparison } = useSuspenseQuery(comparisonQuery(modelId));
  if (comparison.columns.length === 0) {
    return (
      <Panel title="Compare versions" testId="compare-versions">
        <Text c="dimmed" fz="sm">
          Nothing is measured yet. <TextLink to="/jobs/new?kind=evaluate">Evaluate a version</TextLink> to see its
          quality, speed and size here.
        </Text>
      </Panel>
    );
  }
  return (
    <Stack gap="md">
      <Panel title="Size, speed and quality" testId="pareto">
        <ParetoPlot comparison={comparison} />
      </Panel>
      <Panel
        title="Compare versions"
        description="Beneath each figure: the difference from the version that it was made from"
        isFlush
        testId="compare-versions"
      >
        <DataTable
          label="Compare versions"
          columns={columnsOf(comparison)}
          rows={comparison.rows}
          rowKey={(row) => row.version.id}
          minWidth={320 + 130 * comparison.columns.length}
        />
      </Panel>
    </Stack>
  );
}

function columnsOf(comparison: Comparison): Column<ComparedVersion>[] {
  return [
    {
      key: "version",
      header: "Version",
      render: (row) => (
        <TextLink to={`/model-versions/${row.version.id}`} fw={550} fz="sm">
          {row.version.name}
        </TextLink>
      ),
    },
    { key: "stage", header: "Stage", render: (row) => humanize(row.version.stage) },
    { key: "front", header: "Front", render: (row) => <Standing row={row} /> },
    ...comparison.columns.map((column) => ({
      key: column.metric,
      header: headerOf(column),
      isNumeric: true,
      render: (row: ComparedVersion) => <Figure row={row} column={column} />,
    })),
  ];
}

function headerOf(column: ComparisonColumn): string {
  return column.dataset_version ? `${column.title} (${column.dataset_version})` : column.title;
}

function Standing({ row }: { row: ComparedVersion }) {
  if (row.is_on_front === null) return <Text c="dimmed">-</Text>;
  if (row.is_on_front) return <b>On the front</b>;
  return (
    <Text c="dimmed" fz="xs">
      behind {row.dominated_by}
    </Text>
  );
}

function Figure({ row, column }: { row: ComparedVersion; column: ComparisonColumn }) {
  const cell = row.cells.find((item) => item.metric === column.metric);
  if (!cell) return "-";
  const spread = cell.spread === null ? "" : `, spread ${figureText(cell.spread, column.unit)}`;
  const where = column.hardware ? `, on ${column.hardware.name}` : "";
  return (
    <Tooltip label={`${column.title}${spread}${where}`}>
      <div>
        <TextLink to={`/jobs/${cell.job}`} fz="sm" c="inherit">
          {figureText(cell.value, column.unit)}
        </TextLink>
        {cell.difference_pct !== null && (
          <Text fz="xs" c="dimmed" data-testid={`difference-${row.version.name}-${column.metric}`}>
            {differenceText(cell.difference_pct)}
          </Text>
        )}
      </div>
    </Tooltip>
  );
}
