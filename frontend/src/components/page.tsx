/** A page: title, state and the primary action, then its content. */
import { Box, Breadcrumbs, Group, Stack, Text, Title } from "@mantine/core";
import { useDocumentTitle } from "@mantine/hooks";
import type { ReactNode } from "react";
import { TextLink } from "./text-link";

interface PageProps {
  title: string;
  badge?: ReactNode;
  description?: ReactNode;
  actions?: ReactNode;
  /** The way back up, outermost first. */
  parents?: { label: string; to: string }[];
  children: ReactNode;
}

export function Page({ title, badge, description, actions, parents = [], children }: PageProps) {
  useDocumentTitle(`${title} - Coxswain`);
  return (
    <Stack gap="md">
      <Group justify="space-between" align="flex-start" gap="sm">
        <Box maw="100%" miw={0}>
          {parents.length > 0 && (
            <Breadcrumbs fz="sm" mb={4} separatorMargin={6}>
              {parents.map((parent) => (
                <TextLink key={parent.to} to={parent.to}>
                  {parent.label}
                </TextLink>
              ))}
              <span />
            </Breadcrumbs>
          )}
          <Group gap="sm">
            <Title order={1} fz={{ base: "h3", sm: "h2" }} style={{ overflowWrap: "anywhere" }}>
              {title}
            </Title>
            {badge}
          </Group>
          {description !== undefined && (
            <Text component="div" c="dimmed" fz="sm" mt={4}>
              {description}
            </Text>
          )}
        </Box>
        {actions !== undefined && <Group gap="xs">{actions}</Group>}
      </Group>
      {children}
    </Stack>
  );
}
