/** Where a version comes from. */
import { SimpleGrid } from "@mantine/core";
import { Panel } from "@/components/panel";
import { Stat } from "@/components/stat";
import { TextLink } from "@/components/text-link";
import type { ModelVersion } from "@/lib/api-types";

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
        <Stat label="Code">{version.code_revision || "-"}</Stat>
      </SimpleGrid>
    </Panel>
  );
}
