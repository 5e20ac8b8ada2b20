/** One model version: what it is made of, where it comes from, how good it is, and a box to try it. */
import { Button, SimpleGrid, Stack } from "@mantine/core";
import { IconDownload, IconRocket } from "@tabler/icons-react";
import { useSuspenseQuery } from "@tanstack/react-query";
import { lazy, Suspense, useState } from "react";
import { CopyText } from "@/components/copy-text";
import { RowsSkeleton } from "@/components/loading";
import { Page } from "@/components/page";
import { Panel } from "@/components/panel";
import { RelativeTime } from "@/components/relative-time";
import { Stat } from "@/components/stat";
import type { ModelVersion } from "@/lib/api-types";
import { formatBytes, formatCount, formatNamed, humanize, toNumber } from "@/lib/format";
import { modelVersionQuery, versionArchiveUrl } from "@/lib/queries/models";
import { useRequiredParam } from "@/lib/use-required-param";
import { PromoteDialog } from "./promote-dialog";
import { TryIt } from "./try-it";
import { VersionExports } from "./version-exports";
import { VersionFiles } from "./version-files";
import { VersionLineage } from "./version-lineage";
import { VersionPromotions } from "./version-promotions";

const ModelCard = lazy(() => import("./model-card"));

export default function VersionPage() {
  const id = useRequiredParam("versionId");
  const { data: version } = useSuspenseQuery(modelVersionQuery(id));
  const [isPromoting, setPromoting] = useState(false);
  return (
    <Page
      title={version.name}
      parents={[
        { label: "Models", to: "/models" },
        { label: version.model_name, to: `/models/${version.model}` },
      ]}
      description={
        <>
          {formatCount(version.num_parameters)} parameters, made <RelativeTime iso={version.created_at} />
        </>
      }
      actions={
        <>
          <Button
            variant="default"
            component="a"
            href={versionArchiveUrl(version.id)}
            download
            leftSection={<IconDownload size={16} />}
          >
            Download all
          </Button>
          {version.stage !== "production" && (
            <Button onClick={() => setPromoting(true)} leftSection={<IconRocket size={16} />}>
              Promote
            </Button>
          )}
        </>
      }
    >
      <PromoteDialog version={version} isOpen={isPromoting} onClose={() => setPromoting(false)} />
      <SimpleGrid cols={{ base: 1, lg: 2 }} spacing="md" style={{ alignItems: "start" }}>
        <Stack gap="md">
          <MetricsPanel version={version} />
          <VersionPromotions version={version} />
          <TryIt version={version} />
          <VersionLineage version={version} />
        </Stack>
        <Stack gap="md">
          <VersionFiles version={version} />
          <VersionExports version={version} />
          {version.card && (
            <Panel title="Model card" testId="model-card">
              <Suspense fallback={<RowsSkeleton />}>
                <ModelCard text={version.card} />
              </Suspense>
            </Panel>
          )}
        </Stack>
      </SimpleGrid>
    </Page>
  );
}

function MetricsPanel({ version }: { version: ModelVersion }) {
  const metrics = Object.entries(version.metrics);
  return (
    <Panel title="At a glance" actions={<CopyText value={version.name} label="version name" />}>
      <SimpleGrid cols={{ base: 2, xs: 3 }}>
        <Stat label="Parameters">{formatCount(version.num_parameters)}</Stat>
        <Stat label="Size">{formatBytes(version.size_bytes)}</Stat>
        <Stat label="Stage">{humanize(version.stage)}</Stat>
        {metrics.map(([key, value]) => (
          <Stat key={key} label={humanize(key)} testId={`metric-${key}`}>
            {formatNamed(key, toNumber(value))}
          </Stat>
        ))}
      </SimpleGrid>
    </Panel>
  );
}
