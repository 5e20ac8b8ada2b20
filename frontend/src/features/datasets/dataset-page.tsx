/** What is in a dataset, and is it clean: versions, numbers, first records. */
import { Button, Group, Modal, Select } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { IconDatabase, IconPlayerPlay, IconPlus, IconTrash } from "@tabler/icons-react";
import { useSuspenseQuery } from "@tanstack/react-query";
import { Link, useNavigate } from "react-router";
import { confirm } from "@/components/confirm";
import { EmptyState } from "@/components/empty-state";
import { notifyDone } from "@/components/notify";
import { Page } from "@/components/page";
import { Panel } from "@/components/panel";
import { RelativeTime } from "@/components/relative-time";
import { datasetQuery, datasetVersionsQuery, useDeleteDataset } from "@/lib/queries/datasets";
import { useRequiredParam } from "@/lib/use-required-param";
import { setOrDelete, useSearch } from "@/lib/use-search";
import { AddVersionForm } from "./add-version-form";
import { VersionBadge } from "./version-badge";
import { VersionDetail } from "./version-detail";

export default function DatasetPage() {
  const id = useRequiredParam("datasetId");
  const { data: dataset } = useSuspenseQuery(datasetQuery(id));
  const { data } = useSuspenseQuery(datasetVersionsQuery(id));
  const [search, editSearch] = useSearch();
  const [isOpen, dialog] = useDisclosure(false);
  const versions = [...data].sort((a, b) => b.number - a.number);
  const version = versions.find((item) => String(item.number) === search.get("version")) ?? versions[0];
  const remove = useRemoveDataset(id, dataset.name);
  return (
    <Page
      title={dataset.name}
      badge={version && <VersionBadge version={version} />}
      parents={[{ label: "Datasets", to: "/datasets" }]}
      description={
        <>
          {dataset.description || `In ${dataset.project_name}`}, created <RelativeTime iso={dataset.created_at} />
        </>
      }
      actions={
        <>
          <Button variant="default" leftSection={<IconPlus size={16} />} onClick={dialog.open}>
            Add version
          </Button>
          <Button variant="default" leftSection={<IconTrash size={16} />} onClick={remove}>
            Delete
          </Button>
          <Button
            component={Link}
            to={`/jobs/new?kind=train&dataset=${encodeURIComponent(dataset.name)}`}
            leftSection={<IconPlayerPlay size={16} />}
          >
            Train on it
          </Button>
        </>
      }
    >
      {versions.length > 1 && (
        <Group>
          <Select
            size="xs"
            aria-label="Version"
            data={versions.map((item) => ({ value: String(item.number), label: `Version ${item.number}` }))}
            value={version ? String(version.number) : null}
            onChange={(value) => editSearch((next) => setOrDelete(next, "version", value))}
            allowDeselect={false}
          />
        </Group>
      )}
      {version ? (
        <VersionDetail version={version} />
      ) : (
        <Panel>
          <EmptyState
            icon={IconDatabase}
            title="No version yet"
            description="Bring some files; they become version 1."
            action={<Button onClick={dialog.open}>Add version</Button>}
          />
        </Panel>
      )}
      <Modal opened={isOpen} onClose={dialog.close} title={`New version of ${dataset.name}`} size="lg">
        <AddVersionForm dataset={dataset} onDone={dialog.close} />
      </Modal>
    </Page>
  );
}

function useRemoveDataset(id: string, name: string): () => void {
  const deletion = useDeleteDataset(id);
  const navigate = useNavigate();
  return () =>
    confirm({
      title: `Delete dataset ${name}?`,
      consequences: [
        "All its versions go with it after the project's grace period.",
        "It is refused while a job or a model version refers to it.",
      ],
      confirmLabel: "Delete dataset",
      onConfirm: async () => {
        await deletion.mutateAsync();
        notifyDone(`${name} is deleted.`);
        void navigate("/datasets");
      },
    });
}
