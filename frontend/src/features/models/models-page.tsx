/** What training has made. */
import { Button } from "@mantine/core";
import { IconBox } from "@tabler/icons-react";
import { useSuspenseQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import { DataTable, type Column } from "@/components/data-table";
import { EmptyState } from "@/components/empty-state";
import { Page } from "@/components/page";
import { Panel } from "@/components/panel";
import { RelativeTime } from "@/components/relative-time";
import { TextLink } from "@/components/text-link";
import type { Model } from "@/lib/api-types";
import { formatCount } from "@/lib/format";
import { modelsQuery } from "@/lib/queries/models";
import { useProject } from "@/lib/use-project";

const COLUMNS: Column<Model>[] = [
  {
    key: "name",
    header: "Name",
    render: (row) => (
      <TextLink to={`/models/${row.id}`} fw={550} fz="sm">
        {row.name}
      </TextLink>
    ),
  },
  {
    key: "latest",
    header: "Newest version",
    render: (row) =>
      row.latest_version ? (
        <TextLink to={`/model-versions/${row.latest_version.id}`} fz="sm">
          {row.latest_version.name}
        </TextLink>
      ) : (
        "-"
      ),
  },
  {
    key: "parameters",
    header: "Parameters",
    isNumeric: true,
    from: "xs",
    render: (row) => formatCount(row.latest_version?.num_parameters),
  },
  { key: "project", header: "Project", from: "md", render: (row) => row.project_name },
  {
    key: "age",
    header: "Created",
    isNumeric: true,
    from: "xs",
    render: (row) => <RelativeTime iso={row.created_at} />,
  },
];

export default function ModelsPage() {
  const { project } = useProject();
  const { data: models } = useSuspenseQuery(modelsQuery(project?.id));
  return (
    <Page title="Models">
      <Panel isFlush testId="models-table">
        {models.length > 0 ? (
          <DataTable label="Models" columns={COLUMNS} rows={models} rowKey={(row) => row.id} />
        ) : (
          <EmptyState
            icon={IconBox}
            title="No models yet"
            description="A training job that succeeds leaves a version of a model here, with its files, metrics and lineage."
            action={
              <Button component={Link} to="/jobs/new?kind=train">
                Train a model
              </Button>
            }
          />
        )}
      </Panel>
    </Page>
  );
}
