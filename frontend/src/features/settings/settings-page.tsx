/** What is yours: profile, theme, API tokens. */
import { Badge, Group, SegmentedControl, SimpleGrid, Text, useMantineColorScheme } from "@mantine/core";
import { useSuspenseQuery } from "@tanstack/react-query";
import { Page } from "@/components/page";
import { Panel } from "@/components/panel";
import { Stat } from "@/components/stat";
import { sessionQuery } from "@/lib/queries/session";
import { TokensPanel } from "./tokens-panel";

const THEMES = [
  { value: "auto", label: "As the system" },
  { value: "light", label: "Light" },
  { value: "dark", label: "Dark" },
] as const;

export default function SettingsPage() {
  const { data: session } = useSuspenseQuery(sessionQuery);
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  const { user } = session;
  return (
    <Page title="Settings">
      <SimpleGrid cols={{ base: 1, md: 2 }}>
        <Panel title="Profile">
          <SimpleGrid cols={2}>
            <Stat label="Username">{user?.username}</Stat>
            <Stat label="Mail">{user?.email || "-"}</Stat>
          </SimpleGrid>
          <Text fz="xs" c="dimmed" mt="sm" mb={4}>
            Workspaces
          </Text>
          <Group gap="xs">
            {user?.workspaces.map((workspace) => (
              <Badge key={workspace.id} variant="default" tt="none" fw={500}>
                {workspace.name}, {workspace.role}
              </Badge>
            ))}
          </Group>
        </Panel>
        <Panel title="Theme">
          <SegmentedControl
            aria-label="Theme"
            data={[...THEMES]}
            value={colorScheme}
            onChange={(value) => setColorScheme(value)}
          />
        </Panel>
      </SimpleGrid>
      <TokensPanel />
    </Page>
  );
}
