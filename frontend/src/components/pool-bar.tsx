/** A pool: how many of its slots are taken. */
import { Group, Progress, Text } from "@mantine/core";
import type { Pool } from "@/lib/api-types";

export function PoolBar({ pool }: { pool: Pool }) {
  const used = pool.total_slots - pool.free_slots;
  const share = pool.total_slots > 0 ? (used / pool.total_slots) * 100 : 0;
  return (
    <>
      <Group justify="space-between" mb={6} gap="xs">
        <Text fw={600} fz="sm">
          {pool.name}
        </Text>
        <Text fz="sm" className="tabular">
          {pool.free_slots} of {pool.total_slots} slots free
        </Text>
      </Group>
      <Progress.Root size={10}>
        <Progress.Section
          value={share}
          color="ink"
          aria-label={`${used} of ${pool.total_slots} slots of ${pool.name} in use`}
        />
      </Progress.Root>
      <Text fz="xs" c="dimmed" mt={6}>
        {pool.num_nodes === 1 ? "1 node" : `${pool.num_nodes} nodes`}
        {pool.queued_jobs > 0 && `, ${pool.queued_jobs} waiting`}
      </Text>
    </>
  );
}
