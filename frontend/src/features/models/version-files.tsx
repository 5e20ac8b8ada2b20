/** The files of a version, each to download. */
import { ActionIcon, Text, Tooltip } from "@mantine/core";
import { IconDownload } from "@tabler/icons-react";
import { DataTable, type Column } from "@/components/data-table";
import { Panel } from "@/components/panel";
import type { FileEntry, ModelVersion } from "@/lib/api-types";
import { formatBytes } from "@/lib/format";
import { versionFileUrl } from "@/lib/queries/models";

export function VersionFiles({ version }: { version: ModelVersion }) {
  const columns: Column<FileEntry>[] = [
    {
      key: "path",
      header: "File",
      render: (file) => (
        <Tooltip label={`SHA-256 ${file.sha256}`}>
          <Text span fz="sm" style={{ overflowWrap: "anywhere" }}>
            {file.path}
          </Text>
        </Tooltip>
      ),
    },
    { key: "size", header: "Size", isNumeric: true, render: (file) => formatBytes(file.size_bytes) },
    {
      key: "download",
      header: "",
      width: 44,
      render: (file) => (
        <ActionIcon
          component="a"
          href={versionFileUrl(version.id, file.path)}
          download
          variant="subtle"
          color="gray"
          aria-label={`Download ${file.path}`}
        >
          <IconDownload size={16} />
        </ActionIcon>
      ),
    },
  ];
  return (
    <Panel title="Files" isFlush testId="version-files">
      <DataTable label="Files" columns={columns} rows={version.files} rowKey={(file) => file.path} />
    </Panel>
  );
}
