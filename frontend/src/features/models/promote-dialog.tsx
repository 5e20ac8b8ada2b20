/** Promote a version: what the rules say of it, why, and what came of it. */
import { Alert, Button, Checkbox, Group, Modal, Select, Stack, Text, Textarea } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState, type SyntheticEvent } from "react";
import { RowsSkeleton } from "@/components/loading";
import { notifyDone } from "@/components/notify";
import { describeError } from "@/lib/api-error";
import type { ModelVersion, Promote } from "@/lib/api-types";
import { productionQuery, usePromote, verdictsQuery } from "@/lib/queries/lifecycle";
import { VerdictList } from "./verdict-list";

interface PromoteDialogProps {
  version: ModelVersion;
  isOpen: boolean;
  onClose: () => void;
}

export function PromoteDialog({ version, isOpen, onClose }: PromoteDialogProps) {
  return (
    <Modal opened={isOpen} onClose={onClose} title={`Promote ${version.name}`} size="lg">
      {isOpen && <PromoteForm version={version} onClose={onClose} />}
    </Modal>
  );
}

function PromoteForm({ version, onClose }: Omit<PromoteDialogProps, "isOpen">) {
  const { data: verdicts } = useQuery(verdictsQuery(version.id));
  const { data: production } = useQuery(productionQuery(version.model));
  const [target, setTarget] = useState<NonNullable<Promote["target"]>>("production");
  const [reason, setReason] = useState("");
  const [isOverride, setOverride] = useState(false);
  const promote = usePromote(version.id);
  if (!verdicts || !production) return <RowsSkeleton />;
  const isUnmet = verdicts.some((verdict) => verdict.passed === false);
  const isUnknown = verdicts.some((verdict) => verdict.passed === null);
  const send = (event: SyntheticEvent) => {
    event.preventDefault();
    const seen = target === "production" ? { replaces: production.version?.id ?? null } : {};
    promote.mutate(
      { target, reason, override: isOverride, ...seen },
      {
        onSuccess: (made) => {
          notifyDone(made.state === "pending" ? `${version.name} waits for its evaluations` : made.decision);
          if (made.state !== "refused") onClose();
        },
      },
    );
  };
  return (
    <form onSubmit={send}>
      <Stack gap="sm">
        <VerdictList verdicts={verdicts} />
        <Text fz="sm" c="dimmed">
          {consequenceOf(target, production.version?.name)}
          {isUnknown && !isOverride ? " What is missing is measured first." : ""}
        </Text>
        <Select
          label="To"
          data={[
            { value: "production", label: "Production" },
            { value: "validated", label: "Validated" },
          ]}
          value={target}
          onChange={(value) => setTarget(value === "validated" ? "validated" : "production")}
          allowDeselect={false}
        />
        <Textarea
          label="Reason"
          description="Kept in the history"
          value={reason}
          onChange={(event) => setReason(event.currentTarget.value)}
          withAsterisk={isOverride}
          rows={2}
        />
        {(isUnmet || isUnknown) && (
          <Checkbox
            label="Promote although rules are not met (owners only; needs a reason)"
            checked={isOverride}
            onChange={(event) => setOverride(event.currentTarget.checked)}
          />
        )}
        <Outcome error={promote.error} refusal={promote.data?.state === "refused" ? promote.data.decision : null} />
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose}>
            Close
          </Button>
          <Button type="submit" loading={promote.isPending} disabled={isOverride && reason.trim() === ""}>
            Promote
          </Button>
        </Group>
      </Stack>
    </form>
  );
}

function consequenceOf(target: Promote["target"], current: string | undefined): string {
  return target === "validated" ? "It will be marked as validated." : `It will replace ${current ?? "nothing"}.`;
}

function Outcome({ error, refusal }: { error: unknown; refusal: string | null }) {
  const text = error ? describeError(error) : refusal;
  if (text === null) return null;
  return (
    <Alert role="alert" color="red" variant="light" title={refusal === null ? "That did not work" : "Refused"}>
      {text}
    </Alert>
  );
}
