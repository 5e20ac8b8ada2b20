/** Is my work moving, is anything wrong: what runs, what failed, what is new, what is free. */
import { Button, SimpleGrid, Stack, Text } from "@mantine/core";
import { IconPlus, IconRocket } from "@tabler/icons-react";
import { useSuspenseQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import { EmptyState } from "@/components/empty-state";
import { Page } from "@/components/page";
import { Panel } from "@/components/panel";
import { PoolBar } from "@/components/pool-bar";
import { poolsQuery } from "@/lib/queries/cluster";
import { jobsQuery } from "@/lib/queries/jobs";
import { recentVersionsQuery } from "@/lib/queries/models";
import { useProject } from "@/lib/use-project";
import { ActiveJob, EndedJob, VersionRow } from "./home-rows";

const ACTIVE = "queued,starting,running,preempting,cancelling";
const WRONG = "failed,error";

export default function HomePage() {
  const { project } = useProject();
  const of = project ? { project: project.id } : {};
  const { data: active } = useSuspenseQuery(jobsQuery({ state: ACTIVE, page_size: 8, ...of }));
  const { data: wrong } = useSuspenseQuery(jobsQuery({ state: WRONG, page_size: 4, ...of }));
  const { data: versions } = useSuspenseQuery(recentVersionsQuery(project?.id));
  const { data: pools } = useSuspenseQuery(poolsQuery);
  return (
    <Page
      title="Home"
      actions={
        <Button component={Link} to="/jobs/new" leftSection={<IconPlus size={16} />}>
          New job
        </Button>
      }
    >
      <SimpleGrid cols={{ base: 1, lg: 2 }} spacing="md" style={{ alignItems: "start" }}>
        <Panel title="Running and waiting" testId="home-active">
          <Stack gap="md">
            {active.jobs.map((job) => (
              <ActiveJob key={job.id} job={job} />
            ))}
            {active.jobs.length === 0 && (
              <EmptyState
                icon={IconRocket}
                title="Nothing is running"
                description="Submit a job and follow it here."
                action={
                  <Button component={Link} to="/jobs/new" variant="default" size="xs">
                    New job
                  </Button>
                }
              />
            )}
          </Stack>
        </Panel>
        <Stack gap="md">
          <Panel title="Free slots" testId="home-pools">
            <Stack gap="md">
              {pools.map((pool) => (
                <PoolBar key={pool.id} pool={pool} />
              ))}
              {pools.length === 0 && <Nothing text="No node has joined yet." />}
            </Stack>
          </Panel>
          {wrong.jobs.length > 0 && (
            <Panel title="Went wrong" testId="home-wrong">
              <Stack gap="sm">
                {wrong.jobs.map((job) => (
                  <EndedJob key={job.id} job={job} />
                ))}
              </Stack>
            </Panel>
          )}
          <Panel title="New model versions" testId="home-versions">
            <Stack gap="xs">
              {versions.slice(0, 6).map((version) => (
                <VersionRow key={version.id} version={version} />
              ))}
              {versions.length === 0 && <Nothing text="A training job that succeeds leaves one here." />}
            </Stack>
          </Panel>
        </Stack>
      </SimpleGrid>
    </Page>
  );
}

function Nothing({ text }: { text: string }) {
  return (
    <Text fz="sm" c="dimmed">
      {text}
    </Text>
  );
}
