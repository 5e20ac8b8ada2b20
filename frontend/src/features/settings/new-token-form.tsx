/** Make a token; what comes back is shown this once. */
import { Alert, Button, Group, Select, Stack, Text, TextInput } from "@mantine/core";
import { useState, type SyntheticEvent } from "react";
import { CopyText } from "@/components/copy-text";
import { describeError } from "@/lib/api-error";
import { useCreateToken } from "@/lib/queries/tokens";

const DAY_MS = 86_400_000;

const LIFETIMES = [
  { value: "7", label: "7 days" },
  { value: "90", label: "90 days" },
  { value: "365", label: "One year" },
  { value: "", label: "Never" },
];

const SCOPES = [
  { value: "read", label: "Read: see what you see" },
  { value: "write", label: "Write: submit and change too" },
  { value: "admin", label: "Admin: manage tokens and nodes too" },
] as const;

type Scope = (typeof SCOPES)[number]["value"];

export function NewTokenForm({ onDone }: { onDone: () => void }) {
  const [name, setName] = useState("");
  const [scope, setScope] = useState<Scope>("write");
  const [days, setDays] = useState("90");
  const create = useCreateToken();
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    const expiresAt = days === "" ? null : new Date(Date.now() + Number(days) * DAY_MS).toISOString();
    create.mutate({ name, scopes: [scope], expires_at: expiresAt });
  };
  if (create.data) {
    return (
      <Stack gap="sm">
        <Text fz="sm">Copy it now: it is not kept in readable form, and is not shown again.</Text>
        <div data-testid="new-token">
          <CopyText value={create.data.token} label="token" />
        </div>
        <Group justify="flex-end">
          <Button onClick={onDone}>Done</Button>
        </Group>
      </Stack>
    );
  }
  return (
    <form onSubmit={submit}>
      <Stack gap="sm">
        <TextInput
          label="Name"
          description="What will use it."
          withAsterisk
          maxLength={80}
          value={name}
          onChange={(event) => setName(event.currentTarget.value)}
          data-autofocus
        />
        <Select
          label="May"
          data={[...SCOPES]}
          value={scope}
          onChange={(value) => setScope(value ?? "read")}
          allowDeselect={false}
        />
        <Select
          label="Expires"
          data={LIFETIMES}
          value={days}
          onChange={(value) => setDays(value ?? "")}
          allowDeselect={false}
        />
        {create.error && (
          <Alert role="alert" color="red" variant="light">
            {describeError(create.error)}
          </Alert>
        )}
        <Group justify="flex-end">
          <Button type="submit" loading={create.isPending} disabled={!name.trim()}>
            Create token
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
