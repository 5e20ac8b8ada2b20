/** One node: is it there, what runs on each slot, how loaded it is. */
import { Badge, Button, Group, SimpleGrid, Text, Tooltip } from "@mantine/core";
import { IconAlertTriangle, IconCircleCheck, IconHandStop } from "@tabler/icons-react";
import { Link } from "react-router";
import { confirm } from "@/components/confirm";
import { notifyDone, notifyError } from "@/components/notify";
import { Panel } from "@/components/panel";
import { RelativeTime } from "@/components/relative-time";
import { Stat } from "@/components/stat";
import type { Device, Node } from "@/lib/api-types";
import { formatBytes } from "@/lib/format";
import { useDrainNode } from "@/lib/queries/cluster";
import classes from "./node-panel.module.css";

function NodeBadge({ node }: { node: Node }) {
  const [label, color, Icon] = !node.is_alive
    ? (["Lost", "red", IconAlertTriangle] as const)
    : node.is_draining
      ? (["Draining", "yellow", IconHandStop] as const)
      : (["Ready", "green", IconCircleCheck] as const);
  return (
    <Badge
      size="sm"
      variant="light"
      color={color}
      tt="none"
      leftSection={<Icon size={12} aria-hidden />}
      data-testid="node-badge"
    >
      {label}
    </Badge>
  );
}

function SlotMark({ slot }: { slot: Device }) {
  const use = slot.is_free ? "free" : slot.job_name || "in use";
  const hint = `Slot ${slot.index}: ${slot.name || slot.kind}, ${use}`;
  const common = { className: classes.slot, "aria-label": hint, "data-used": !slot.is_free || undefined };
  return (
    <Tooltip label={hint}>
      {slot.job === null ? (
        <span role="img" {...common}>
          {slot.index}
        </span>
      ) : (
        <Link to={`/jobs/${slot.job}`} {...common}>
          {slot.index}
        </Link>
      )}
    </Tooltip>
  );
}

export function NodePanel({ node }: { node: Node }) {
  return (
    <Panel
      testId={`node-${node.name}`}
      title={
        <Group gap="xs">
          {node.name} <NodeBadge node={node} />
        </Group>
      }
      actions={<DrainButton node={node} />}
    >
      <SimpleGrid cols={{ base: 2, xs: 3, md: 6 }} mb="md">
        <Stat label="Pool">{node.pool}</Stat>
        <Stat label="Last heard of">
          <RelativeTime iso={node.last_seen_at} />
        </Stat>
        <Stat label="CPU">
          {node.cpu_pct === null ? "-" : `${Math.round(node.cpu_pct)}%`} of {node.cpu_count}
        </Stat>
        <Stat label="Memory">
          {formatBytes(node.memory_used_bytes)} of {formatBytes(node.memory_bytes)}
        </Stat>
        <Stat label="Disk free">{formatBytes(node.disk_free_bytes)}</Stat>
        <Stat label="Fork server">{node.forkserver_ready ? "Warm" : "Not ready"}</Stat>
      </SimpleGrid>
      <div className={classes.slots}>
        {node.devices.map((slot) => (
          <SlotMark key={slot.id} slot={slot} />
        ))}
      </div>
      <Text fz="xs" c="dimmed" mt="xs">
        {node.hostname}, {node.address}, agent {node.agent_version}
      </Text>
    </Panel>
  );
}

function DrainButton({ node }: { node: Node }) {
  const drain = useDrainNode(node.id);
  if (node.is_draining) {
    return (
      <Button
        size="xs"
        variant="default"
        loading={drain.isPending}
        onClick={() => drain.mutate(false, { onError: notifyError })}
      >
        Use again
      </Button>
    );
  }
  const ask = () =>
    confirm({
      title: `Drain ${node.name}?`,
      consequences: ["It gets no new jobs until it is used again.", "Jobs that run on it go on to their end."],
      confirmLabel: "Drain node",
      isDestructive: false,
      onConfirm: async () => {
        await drain.mutateAsync(true);
        notifyDone(`${node.name} is draining.`);
      },
    });
  return (
    <Button size="xs" variant="default" loading={drain.isPending} onClick={ask}>
      Drain
    </Button>
  );
}
