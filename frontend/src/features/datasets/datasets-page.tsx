/** What there is to train on. */
import { Button, Modal } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { IconDatabase, IconPlus } from "@tabler/icons-react";
import { useSuspenseQuery } from "@tanstack/react-query";
import { useNavigate } from "react-router";
import { CreateProjectForm } from "@/components/create-project-form";
import { DataTable, type Column } from "@/components/data-table";
import { EmptyState } from "@/components/empty-state";
import { Page } from "@/components/page";
import { Panel } from "@/components/panel";
import { RelativeTime } from "@/components/relative-time";
import { TextLink } from "@/components/text-link";
import type { Dataset } from "@/lib/api-types";
import { formatBytes, formatCount } from "@/lib/format";
import { datasetsQuery } from "@/lib/queries/datasets";
import { useProject } from "@/lib/use-project";
import { NewDatasetForm } from "./new-dataset-form";
import { VersionBadge } from "./version-badge";

const documentsOf = ({ latest_version: version }: Dataset) => formatCount(version?.statistics?.documents);

const COLUMNS: Column<Dataset>[] = [
  {
    key: "name",
    header: "Name",
    render: (row) => (
      <TextLink to={`/datasets/${row.id}`} fw={550} fz="sm">
        {row.name}
      </TextLink>
    ),
  },
  {
    key: "state",
    header: "State",
    render: (row) => (row.latest_version ? <VersionBadge version={row.latest_version} /> : "No version"),
  },
  {
    key: "version",
    header: "Version",
    isNumeric: true,
    from: "xs",
    render: (row) => row.latest_version?.number ?? "-",
  },
  { key: "documents", header: "Documents", isNumeric: true, from: "sm", render: documentsOf },
  { key: "size", header: "Size", isNumeric: true, render: (row) => formatBytes(row.latest_version?.size_bytes) },
  { key: "project", header: "Project", from: "md", render: (row) => row.project_name },
  {
    key: "age",
    header: "Created",
    isNumeric: true,
    from: "sm",
    render: (row) => <RelativeTime iso={row.created_at} />,
  },
];

export default function DatasetsPage() {
  const { project, target } = useProject();
  const { data: datasets } = useSuspenseQuery(datasetsQuery(project?.id));
  const [isOpen, dialog] = useDisclosure(false);
  const navigate = useNavigate();
  const add = (
    <Button leftSection={<IconPlus size={16} />} onClick={dialog.open}>
      New dataset
    </Button>
  );
  return (
    <Page title="Datasets" actions={add}>
      <Panel isFlush testId="datasets-table">
        {datasets.length > 0 ? (
          <DataTable label="Datasets" columns={COLUMNS} rows={datasets} rowKey={(row) => row.id} />
        ) : (
          <EmptyState
            icon={IconDatabase}
            title="No datasets yet"
            description="A dataset is a named collection of documents. Every change makes a new version; versions never change."
            action={add}
          />
        )}
      </Panel>
      <Modal
        opened={isOpen}
        onClose={dialog.close}
        title={target ? `New dataset in ${target.name}` : "First, a project"}
        size="lg"
      >
        {target ? (
          <NewDatasetForm
            project={target}
            onDone={(dataset) => {
              dialog.close();
              void navigate(`/datasets/${dataset.id}`);
            }}
          />
        ) : (
          <CreateProjectForm />
        )}
      </Modal>
    </Page>
  );
}
