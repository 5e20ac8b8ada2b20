/** The left rail: the pages of the table that have a place in it. */
import { ActionIcon, NavLink, Stack, Tooltip } from "@mantine/core";
import { IconLayoutSidebarLeftCollapse, IconLayoutSidebarLeftExpand } from "@tabler/icons-react";
import { NavLink as RouterLink, useLocation } from "react-router";
import { PAGES } from "./pages";

function isActive(path: string, current: string): boolean {
  if (path === "/") return current === "/";
  if (path === "/models" && current.startsWith("/model-versions")) return true;
  return current === path || current.startsWith(`${path}/`);
}

export function Rail({ isNarrow, onNarrow }: { isNarrow: boolean; onNarrow: () => void }) {
  const { pathname } = useLocation();
  const Toggle = isNarrow ? IconLayoutSidebarLeftExpand : IconLayoutSidebarLeftCollapse;
  return (
    <Stack h="100%" justify="space-between" gap="xs">
      <Stack gap={2} component="nav" aria-label="Main">
        {PAGES.flatMap(({ path, rail }) => {
          if (!rail) return [];
          const { label, icon: Icon } = rail;
          return (
            <Tooltip key={path} label={label} position="right" disabled={!isNarrow}>
              <NavLink
                component={RouterLink}
                to={path}
                aria-label={label}
                label={isNarrow ? undefined : label}
                leftSection={<Icon size={19} stroke={1.7} aria-hidden />}
                active={isActive(path, pathname)}
                style={{ borderRadius: "var(--mantine-radius-md)" }}
                {...(isNarrow ? { px: 10 } : {})}
              />
            </Tooltip>
          );
        })}
      </Stack>
      <ActionIcon
        variant="subtle"
        color="gray"
        visibleFrom="sm"
        onClick={onNarrow}
        aria-label={isNarrow ? "Widen the rail" : "Narrow the rail"}
      >
        <Toggle size={18} />
      </ActionIcon>
    </Stack>
  );
}
