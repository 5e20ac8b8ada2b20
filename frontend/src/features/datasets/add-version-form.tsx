/** New files make a new version; the old ones stay as they are. */
import { Alert, Button, Group, Stack } from "@mantine/core";
import { useState } from "react";
import { FileDrop } from "@/components/file-drop";
import { describeError } from "@/lib/api-error";
import type { Dataset } from "@/lib/api-types";
import { useCreateVersionOf } from "@/lib/queries/datasets";
import { UPLOAD_HINT } from "./formats";
import { UploadList } from "./upload-list";
import { useUploads } from "./use-uploads";

export function AddVersionForm({ dataset, onDone }: { dataset: Dataset; onDone: () => void }) {
  const uploads = useUploads();
  const create = useCreateVersionOf();
  const [error, setError] = useState<unknown>(null);
  const run = async () => {
    setError(null);
    try {
      const files = await uploads.send(dataset.project);
      await create.mutateAsync({ datasetId: dataset.id, body: { files } });
      onDone();
    } catch (problem) {
      setError(problem);
    }
  };
  return (
    <Stack gap="sm">
      <FileDrop hint={UPLOAD_HINT} onFiles={uploads.add} />
      <UploadList uploads={uploads} />
      {error !== null && (
        <Alert role="alert" color="red" variant="light">
          {describeError(error)}
        </Alert>
      )}
      <Group justify="flex-end">
        <Button
          onClick={() => void run()}
          loading={uploads.isRunning || create.isPending}
          disabled={uploads.items.length === 0}
        >
          Add version
        </Button>
      </Group>
    </Stack>
  );
}
