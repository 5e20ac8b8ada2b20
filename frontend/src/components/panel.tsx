/** A part of a page with a heading of its own. */
import { Box, Group, Paper, Text, Title } from "@mantine/core";
import type { ReactNode } from "react";

interface PanelProps {
  title?: ReactNode;
  description?: string;
  actions?: ReactNode;
  /** Let the content (a table) reach the border. */
  isFlush?: boolean;
  testId?: string;
  children: ReactNode;
}

export function Panel({ title, description, actions, isFlush = false, testId, children }: PanelProps) {
  return (
    <Paper withBorder p={isFlush ? 0 : "md"} data-testid={testId} style={{ overflow: "hidden" }}>
      {(title !== undefined || actions !== undefined) && (
        <Group justify="space-between" gap="xs" p={isFlush ? "md" : 0} pb={isFlush ? "xs" : 0} mb={isFlush ? 0 : "sm"}>
          <Box>
            <Title order={2} fz="md" fw={600}>
              {title}
            </Title>
            {description !== undefined && (
              <Text c="dimmed" fz="xs">
                {description}
              </Text>
            )}
          </Box>
          {actions}
        </Group>
      )}
      {children}
    </Paper>
  );
}
