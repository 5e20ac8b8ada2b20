/** API tokens: made, shown once, revoked. */
import { Badge, Button, Group, Modal, Text } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { IconKey, IconPlus } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { confirm } from "@/components/confirm";
import { DataTable, type Column } from "@/components/data-table";
import { EmptyState } from "@/components/empty-state";
import { ErrorPanel } from "@/components/error-panel";
import { RowsSkeleton } from "@/components/loading";
import { notifyDone } from "@/components/notify";
import { Panel } from "@/components/panel";
import { RelativeTime } from "@/components/relative-time";
import type { ApiToken } from "@/lib/api-types";
import { formatExact } from "@/lib/format";
import { tokensQuery, useRevokeToken } from "@/lib/queries/tokens";
import { NewTokenForm } from "./new-token-form";

const COLUMNS: Column<ApiToken>[] = [
  {
    key: "name",
    header: "Name",
    render: (row) => (
      <>
        {row.name}{" "}
        <Text span c="dimmed" fz="xs" ff="monospace">
          {row.prefix}...
        </Text>
      </>
    ),
  },
  {
    key: "scopes",
    header: "May",
    render: (row) => (
      <Group gap={4}>
        {row.scopes.map((scope) => (
          <Badge key={scope} size="sm" variant="default" tt="none" fw={500}>
            {scope}
          </Badge>
        ))}
      </Group>
    ),
  },
  { key: "used", header: "Last used", from: "sm", render: (row) => <RelativeTime iso={row.last_used_at} /> },
  {
    key: "expires",
    header: "Expires",
    from: "sm",
    render: (row) => (row.expires_at === null ? "never" : formatExact(row.expires_at)),
  },
  { key: "revoke", header: "", width: 90, render: (row) => <RevokeButton token={row} /> },
];

function RevokeButton({ token }: { token: ApiToken }) {
  const revoke = useRevokeToken();
  const ask = () =>
    confirm({
      title: `Revoke ${token.name}?`,
      consequences: ["Programs that use it are refused from now on. It cannot be brought back."],
      confirmLabel: "Revoke token",
      onConfirm: async () => {
        await revoke.mutateAsync(token.id);
        notifyDone(`${token.name} is revoked.`);
      },
    });
  return (
    <Button size="compact-xs" variant="default" onClick={ask} aria-label={`Revoke ${token.name}`}>
      Revoke
    </Button>
  );
}

export function TokensPanel() {
  const { data: tokens, error, refetch } = useQuery(tokensQuery);
  const [isOpen, dialog] = useDisclosure(false);
  const add = (
    <Button size="xs" leftSection={<IconPlus size={14} />} onClick={dialog.open}>
      New token
    </Button>
  );
  return (
    <Panel
      title="API tokens"
      description="Keys for programs: REST, the client library and the command line."
      actions={add}
      isFlush
      testId="tokens"
    >
      {error && <ErrorPanel error={error} onRetry={() => void refetch()} />}
      {!tokens && !error && <RowsSkeleton count={3} />}
      {tokens && tokens.length > 0 && (
        <DataTable label="API tokens" columns={COLUMNS} rows={tokens} rowKey={(row) => row.id} />
      )}
      {tokens?.length === 0 && (
        <EmptyState
          icon={IconKey}
          title="No tokens"
          description="Make one to use the REST interface or `cox` from elsewhere."
        />
      )}
      <Modal opened={isOpen} onClose={dialog.close} title="New token" closeOnClickOutside={false}>
        <NewTokenForm onDone={dialog.close} />
      </Modal>
    </Panel>
  );
}
