/** Ask before something is destroyed or stopped, in words that say what happens. */
import { Stack, Text } from "@mantine/core";
import { modals } from "@mantine/modals";
import { notifyError } from "./notify";

interface ConfirmOptions {
  title: string;
  /** What will happen, one sentence each. */
  consequences: string[];
  confirmLabel: string;
  isDestructive?: boolean;
  onConfirm: () => Promise<unknown>;
}

export function confirm({ title, consequences, confirmLabel, isDestructive = true, onConfirm }: ConfirmOptions): void {
  modals.openConfirmModal({
    title,
    children: (
      <Stack gap="xs">
        {consequences.map((sentence) => (
          <Text fz="sm" key={sentence}>
            {sentence}
          </Text>
        ))}
      </Stack>
    ),
    labels: { confirm: confirmLabel, cancel: "Keep as it is" },
    confirmProps: { ...(isDestructive ? { color: "red.9" } : {}) },
    onConfirm: () => void onConfirm().catch(notifyError),
  });
}
