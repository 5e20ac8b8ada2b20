/** One figure with its name. */
import { Box, Text } from "@mantine/core";
import type { ReactNode } from "react";

interface StatProps {
  label: string;
  children: ReactNode;
  testId?: string;
}

export function Stat({ label, children, testId }: StatProps) {
  return (
    <Box miw={0}>
      <Text fz="xs" c="dimmed">
        {label}
      </Text>
      <Text component="div" fz="sm" fw={600} className="tabular" data-testid={testId} truncate>
        {children}
      </Text>
    </Box>
  );
}
