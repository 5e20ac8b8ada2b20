/** The files that were chosen, with how far each is. */
import { ActionIcon, Group, Progress, Stack, Text } from "@mantine/core";
import { IconX } from "@tabler/icons-react";
import { formatBytes, formatPct } from "@/lib/format";
import type { UploadItem, Uploads } from "./use-uploads";

const PHASES = { hashing: "Checking", sending: "Sending", done: "Stored" } as const;

function statusOf({ progress, error, file }: UploadItem): string {
  if (error !== null) return error;
  if (!progress) return formatBytes(file.size);
  if (progress.phase === "done") return `${PHASES.done}, ${formatBytes(file.size)}`;
  return `${PHASES[progress.phase]} ${formatPct(file.size > 0 ? progress.bytes / file.size : 1)}`;
}

export function UploadList({ uploads }: { uploads: Uploads }) {
  return (
    <Stack gap="xs" data-testid="upload-list">
      {uploads.items.map((item) => {
        const share = item.progress && item.file.size > 0 ? item.progress.bytes / item.file.size : 0;
        return (
          <div key={item.file.name}>
            <Group justify="space-between" gap="xs" wrap="nowrap">
              <Text fz="sm" truncate>
                {item.file.name}
              </Text>
              <Group gap={4} wrap="nowrap">
                <Text fz="xs" c={item.error === null ? "dimmed" : "red"} className="tabular">
                  {statusOf(item)}
                </Text>
                {!uploads.isRunning && (
                  <ActionIcon
                    variant="subtle"
                    color="gray"
                    size="sm"
                    aria-label={`Remove ${item.file.name}`}
                    onClick={() => uploads.remove(item.file)}
                  >
                    <IconX size={14} />
                  </ActionIcon>
                )}
              </Group>
            </Group>
            {item.progress && (
              <Progress
                size={4}
                value={item.progress.phase === "hashing" ? share * 10 : 10 + share * 90}
                color={item.error === null ? "ink" : "red"}
                aria-label={`Progress of ${item.file.name}`}
              />
            )}
          </div>
        );
      })}
    </Stack>
  );
}
