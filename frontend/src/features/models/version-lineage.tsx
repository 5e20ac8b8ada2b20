/** Where a version comes from. */
import { SimpleGrid } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Panel } from "@/components/panel";
import { Stat } from "@/components/stat";
import { TextLink } from "@/components/text-link";
import type { ModelVersion } from "@/lib/api-types";
import { jobsQuery } from "@/lib/queries/jobs";

export function VersionLineage({ version }: { version: ModelVersion }) {
  return (
    <Panel title="Lineage" testId="version-lineage">
      <SimpleGrid cols={{ base: 1, xs: 2 }}>
        <Stat label="Dataset">
          {version.dataset ? (
            <TextLink to={`/datasets/${version.dataset}`}>{version.dataset_version}</TextLink>
          ) : (
            (version.dataset_version ?? "-")
          )}
        </Stat>
        <Stat label="Parent">
          {version.parent ? (
            <TextLink to={`/model-versions/${version.parent}`}>{version.parent}</TextLink>
          ) : (
            "From nothing"
          )}
        </Stat>
        <Stat label="Made by">
          <MadeBy version={version} />
        </Stat>
        <Stat label="Code">{version.code_revision || "-"}</Stat>
      </SimpleGrid>
    </Panel>
  );
}

/** The job that trained the version; a version that was uploaded has none. */
function MadeBy({ version }: { version: ModelVersion }) {
  const { data: page, isPlaceholderData } = useQuery(jobsQuery({ output_version: version.id, page_size: 1 }));
  if (!page || isPlaceholderData) return "...";
  const job = page.jobs[0];
  if (!job) return version.created_by ?? "-";
  return (
    <TextLink to={`/jobs/${job.id}`}>
      {job.name} #{job.number}
    </TextLink>
  );
}
