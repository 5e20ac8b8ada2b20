/** One version: its numbers, how long its documents are, its first records. */
import { Alert, Progress, SimpleGrid, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { CopyText } from "@/components/copy-text";
import { ErrorPanel } from "@/components/error-panel";
import { RowsSkeleton } from "@/components/loading";
import { Panel } from "@/components/panel";
import { Stat } from "@/components/stat";
import type { DatasetVersion } from "@/lib/api-types";
import { formatBytes, formatCount } from "@/lib/format";
import { datasetPreviewQuery } from "@/lib/queries/datasets";
import { LengthHistogram } from "./length-histogram";
import { PreviewRecords } from "./preview-records";

export function VersionDetail({ version }: { version: DatasetVersion }) {
  if (version.state === "failed") {
    return (
      <Alert color="red" title={`Version ${version.number} cannot be used`} role="alert">
        {version.error} Add a version with files that hold text.
      </Alert>
    );
  }
  return (
    <Stack gap="md">
      <StatisticsPanel version={version} />
      {version.state === "ready" && <PreviewPanel versionId={version.id} />}
    </Stack>
  );
}

function StatisticsPanel({ version }: { version: DatasetVersion }) {
  if (version.state === "pending" || version.statistics === null) {
    return (
      <Panel title={`Version ${version.number}`}>
        <Text fz="sm" mb="xs">
          The files are being read to count documents and check that they hold text.
        </Text>
        <Progress value={version.progress * 100} aria-label="Share of the files that is read" />
      </Panel>
    );
  }
  const numbers = version.statistics;
  return (
    <Panel
      title={`Version ${version.number}`}
      testId="dataset-statistics"
      actions={<CopyText value={version.digest} short={version.digest.slice(0, 12)} label="digest" />}
    >
      <SimpleGrid cols={{ base: 2, xs: 3, md: 6 }} mb="md">
        <Stat label="Documents">{formatCount(numbers.documents)}</Stat>
        <Stat label="Characters">{formatCount(numbers.characters)}</Stat>
        <Stat label="Mean length">{formatCount(Math.round(numbers.mean_characters))}</Stat>
        <Stat label="Longest">{formatCount(numbers.longest_characters)}</Stat>
        <Stat label="Files">{formatCount(numbers.files)}</Stat>
        <Stat label="Size">{formatBytes(numbers.bytes)}</Stat>
      </SimpleGrid>
      <LengthHistogram buckets={numbers.length_histogram} />
    </Panel>
  );
}

function PreviewPanel({ versionId }: { versionId: string }) {
  const { data, error, refetch } = useQuery(datasetPreviewQuery(versionId));
  return (
    <Panel title="First records" testId="dataset-preview">
      {error && <ErrorPanel error={error} onRetry={() => void refetch()} />}
      {!data && !error && <RowsSkeleton count={4} />}
      {data && <PreviewRecords preview={data} />}
    </Panel>
  );
}
