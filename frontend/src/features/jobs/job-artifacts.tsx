/** The files that a job made and that are still there, each to download. */
import { ActionIcon, Text, Tooltip } from "@mantine/core";
import { IconDownload, IconFiles } from "@tabler/icons-react";
import { useSuspenseQuery } from "@tanstack/react-query";
import { DataTable, type Column } from "@/components/data-table";
import { EmptyState } from "@/components/empty-state";
import { Panel } from "@/components/panel";
import type { Job, JobFile } from "@/lib/api-types";
import { formatBytes, humanize } from "@/lib/format";
import { artifactUrl, jobArtifactsQuery } from "@/lib/queries/jobs";

function columnsOf(jobId: string): Column<JobFile>[] {
  return [
    { key: "kind", header: "Of", width: "30%", render: (file) => humanize(file.kind) },
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
          href={artifactUrl(jobId, file.id)}
          download
          variant="subtle"
          color="gray"
          aria-label={`Download ${file.path} of ${file.kind}`}
        >
          <IconDownload size={16} />
        </ActionIcon>
      ),
    },
  ];
}

export default function JobArtifacts({ job }: { job: Job }) {
  const { data: files } = useSuspenseQuery(jobArtifactsQuery(job.id));
  return (
    <Panel isFlush testId="job-artifacts">
      {files.length > 0 ? (
        <DataTable label="Artifacts" columns={columnsOf(job.id)} rows={files} rowKey={(file) => String(file.id)} />
      ) : (
        <EmptyState
          icon={IconFiles}
          title="No files"
          description="Checkpoints and the model's files are listed here as soon as the job has saved some."
        />
      )}
    </Panel>
  );
}
