/** What is free, what is broken: pools with their slots, and every node. */
import { SimpleGrid, Stack } from "@mantine/core";
import { IconServer2 } from "@tabler/icons-react";
import { useSuspenseQuery } from "@tanstack/react-query";
import { EmptyState } from "@/components/empty-state";
import { Page } from "@/components/page";
import { Panel } from "@/components/panel";
import { PoolBar } from "@/components/pool-bar";
import { nodesQuery, poolsQuery } from "@/lib/queries/cluster";
import { NodePanel } from "./node-panel";

export default function ClusterPage() {
  const { data: pools } = useSuspenseQuery(poolsQuery);
  const { data: nodes } = useSuspenseQuery(nodesQuery);
  return (
    <Page title="Cluster">
      {pools.length > 0 && (
        <SimpleGrid cols={{ base: 1, sm: 2, lg: 3 }}>
          {pools.map((pool) => (
            <Panel key={pool.id} testId={`pool-${pool.name}`}>
              <PoolBar pool={pool} />
            </Panel>
          ))}
        </SimpleGrid>
      )}
      <Stack gap="md">
        {nodes.map((node) => (
          <NodePanel key={node.id} node={node} />
        ))}
      </Stack>
      {nodes.length === 0 && (
        <Panel>
          <EmptyState
            icon={IconServer2}
            title="No nodes yet"
            description="A node joins with `cox worker start --server URL --join-token TOKEN --name NAME --pool default`. An administrator makes the token."
          />
        </Panel>
      )}
    </Page>
  );
}
