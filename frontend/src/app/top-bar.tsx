/** Name, project, connection, theme and user. */
import {
  ActionIcon,
  Burger,
  Group,
  Image,
  Menu,
  Text,
  Tooltip,
  useComputedColorScheme,
  useMantineColorScheme,
} from "@mantine/core";
import { IconHelp, IconLogout, IconMoon, IconSearch, IconSettings, IconSun, IconUser } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate } from "react-router";
import { ConnectionBadge } from "@/components/connection-badge";
import { notifyError } from "@/components/notify";
import { sessionQuery, useSignOut } from "@/lib/queries/session";
import { ProjectSwitcher } from "./project-switcher";

interface Props {
  isMenuOpen: boolean;
  onMenu: () => void;
  onSearch: () => void;
}

export function TopBar({ isMenuOpen, onMenu, onSearch }: Props) {
  return (
    <Group h="100%" px={{ base: "xs", sm: "md" }} justify="space-between" wrap="nowrap" gap="xs">
      <Group gap="sm" wrap="nowrap" miw={0}>
        <Burger opened={isMenuOpen} onClick={onMenu} hiddenFrom="sm" size="sm" aria-label="Navigation" />
        <Group
          component={Link}
          gap={8}
          wrap="nowrap"
          {...{ to: "/" }}
          style={{ textDecoration: "none", color: "inherit" }}
        >
          <Image src={`${import.meta.env.BASE_URL}favicon.svg`} w={26} h={26} alt="" />
          <Text fw={700} visibleFrom="sm">
            Coxswain
          </Text>
        </Group>
        <ProjectSwitcher />
      </Group>
      <Group gap={6} wrap="nowrap">
        <Tooltip label="Search everything (Ctrl-K)">
          <ActionIcon variant="subtle" color="gray" size="lg" onClick={onSearch} aria-label="Search everything">
            <IconSearch size={18} />
          </ActionIcon>
        </Tooltip>
        <Tooltip label="Documentation">
          <ActionIcon
            component="a"
            href="/docs/"
            target="_blank"
            rel="noopener"
            variant="subtle"
            color="gray"
            size="lg"
            aria-label="Documentation"
          >
            <IconHelp size={18} />
          </ActionIcon>
        </Tooltip>
        <ConnectionBadge />
        <ThemeToggle />
        <UserMenu />
      </Group>
    </Group>
  );
}

function ThemeToggle() {
  const { setColorScheme } = useMantineColorScheme();
  const isDark = useComputedColorScheme("light") === "dark";
  const label = isDark ? "Use the light theme" : "Use the dark theme";
  return (
    <Tooltip label={label}>
      <ActionIcon
        variant="subtle"
        color="gray"
        size="lg"
        onClick={() => setColorScheme(isDark ? "light" : "dark")}
        aria-label={label}
      >
        {isDark ? <IconSun size={18} /> : <IconMoon size={18} />}
      </ActionIcon>
    </Tooltip>
  );
}

function UserMenu() {
  const { data: session } = useQuery(sessionQuery);
  const signOut = useSignOut();
  const navigate = useNavigate();
  const leave = () => {
    signOut.mutate(undefined, { onSuccess: () => void navigate("/login"), onError: notifyError });
  };
  return (
    <Menu position="bottom-end" width={200}>
      <Menu.Target>
        <ActionIcon variant="subtle" color="gray" size="lg" aria-label="User menu">
          <IconUser size={18} />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>Signed in as {session?.user?.username}</Menu.Label>
        <Menu.Item component={Link} to="/settings" leftSection={<IconSettings size={15} />}>
          Settings
        </Menu.Item>
        <Menu.Item leftSection={<IconLogout size={15} />} onClick={leave}>
          Sign out
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}
