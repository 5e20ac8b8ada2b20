/** What a page looks like before its data is there. */
import { Group, Paper, Skeleton, Stack } from "@mantine/core";

export function RowsSkeleton({ count = 6 }: { count?: number }) {
  return (
    <Stack gap={10} p="md" role="status" aria-label="Loading">
      {Array.from({ length: count }, (_, index) => (
        <Skeleton key={index} height={22} radius="sm" width={`${96 - ((index * 13) % 30)}%`} />
      ))}
    </Stack>
  );
}

export function PageSkeleton() {
  return (
    <Stack gap="md" role="status" aria-label="Loading">
      <Group justify="space-between">
        <Skeleton height={30} width={240} maw="60%" />
        <Skeleton height={34} width={110} />
      </Group>
      <Paper withBorder>
        <RowsSkeleton />
      </Paper>
    </Stack>
  );
}
