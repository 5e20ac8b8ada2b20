/** Nothing here yet: what it would be, and the next step. */
import { Center, Stack, Text, ThemeIcon } from "@mantine/core";
import type { Icon } from "@tabler/icons-react";
import type { ReactNode } from "react";

interface EmptyStateProps {
  icon: Icon;
  title: string;
  description: string;
  action?: ReactNode;
}

export function EmptyState({ icon: Symbol, title, description, action }: EmptyStateProps) {
  return (
    <Center py={40} px="md">
      <Stack align="center" gap="xs" maw={420}>
        <ThemeIcon size={48} radius="xl" variant="light" color="gray" aria-hidden>
          <Symbol size={26} stroke={1.6} />
        </ThemeIcon>
        <Text fw={600}>{title}</Text>
        <Text c="dimmed" fz="sm" ta="center">
          {description}
        </Text>
        {action}
      </Stack>
    </Center>
  );
}
