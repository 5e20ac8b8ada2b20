/** Whether what the page shows is live. */
import { Badge, Tooltip } from "@mantine/core";
import { IconBolt, IconPlugConnectedX, IconRefresh } from "@tabler/icons-react";
import { useConnection } from "@/lib/use-connection";
import type { ConnectionState } from "@/lib/stream";

const STATES: Record<ConnectionState, { label: string; hint: string; icon: typeof IconBolt }> = {
  live: { label: "Live", hint: "Changes appear as they happen.", icon: IconBolt },
  connecting: { label: "Connecting", hint: "The live connection is being made.", icon: IconRefresh },
  offline: {
    label: "Reconnecting",
    hint: "The server cannot be reached. What was missed is fetched as soon as it can.",
    icon: IconPlugConnectedX,
  },
};

export function ConnectionBadge() {
  const state = useConnection();
  const { label, hint, icon: Icon } = STATES[state];
  return (
    <Tooltip label={hint} multiline maw={240}>
      <Badge
        data-testid="connection"
        data-connection={state}
        role="status"
        variant={state === "offline" ? "filled" : "light"}
        color={state === "offline" ? "orange" : "gray"}
        tt="none"
        style={{ flexShrink: 0 }}
        leftSection={<Icon size={12} aria-hidden />}
      >
        {label}
      </Badge>
    </Tooltip>
  );
}
