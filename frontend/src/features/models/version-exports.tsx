/** Other forms of a version: what its export jobs have left, each file to download. */
import { Button, Group, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import { Panel } from "@/components/panel";
import { TextLink } from "@/components/text-link";
import type { JobSummary, ModelVersion } from "@/lib/api-types";
import { formatBytes } from "@/lib/format";
import { artifactUrl, jobArtifactsQuery, jobsQuery } from "@/lib/queries/jobs";

const MOST = 20;

export function VersionExports({ version }: { version: ModelVersion }) {
  const filter = { kind: "export", state: "succeeded", input_version: version.id, page_size: MOST } as const;
  const { data: page } = useQuery(jobsQuery(filter));
  const jobs = page?.jobs ?? [];
  const form = `/jobs/new?${new URLSearchParams({ kind: "export", model: version.name }).toString()}`;
  return (
    <Panel
      title="Exports"
      description="ONNX, edge bundles and other forms, compared with this version before they were kept."
      testId="version-exports"
      actions={
        <Button component={Link} to={form} size="xs" variant="default">
          Export
        </Button>
      }
    >
      <Stack gap="sm">
        {jobs.length === 0 && (
          <Text fz="sm" c="dimmed">
            None yet.
          </Text>
        )}
        {jobs.map((job) => (
          <ExportFiles key={job.id} job={job} />
        ))}
      </Stack>
    </Panel>
  );
}

function ExportFiles({ job }: { job: JobSummary }) {
  const { data: files } = useQuery(jobArtifactsQuery(job.id));
  return (
    <Stack gap={4}>
      <TextLink to={`/jobs/${job.id}`} fz="sm">
        {job.name} #{job.number}
      </TextLink>
      {(files ?? []).map((file) => (
        <Group key={file.id} justify="space-between" gap="xs">
          <Text
            component="a"
            href={artifactUrl(job.id, file.id)}
            download
            fz="sm"
            c="var(--mantine-color-anchor)"
            style={{ overflowWrap: "anywhere" }}
          >
            {file.path}
          </Text>
          <Text fz="sm" c="dimmed">
            {formatBytes(file.size_bytes)}
          </Text>
        </Group>
      ))}
    </Stack>
  );
}
