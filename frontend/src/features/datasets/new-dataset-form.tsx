/** Name a dataset and bring its files; a dataset without files never appears. */
import { Alert, Button, Group, Select, Stack, Textarea, TextInput } from "@mantine/core";
import { useState, type SyntheticEvent } from "react";
import { FileDrop } from "@/components/file-drop";
import { ApiError, describeError } from "@/lib/api-error";
import type { Dataset, Project } from "@/lib/api-types";
import { useCreateDataset, useCreateVersionOf } from "@/lib/queries/datasets";
import { FORMATS, UPLOAD_HINT } from "./formats";
import { UploadList } from "./upload-list";
import { useUploads } from "./use-uploads";

interface NewDatasetFormProps {
  project: Project;
  onDone: (dataset: Dataset) => void;
}

export function NewDatasetForm({ project, onDone }: NewDatasetFormProps) {
  const [name, setName] = useState("");
  const [description, setDescription] = useState("");
  const [format, setFormat] = useState<Dataset["format"]>("auto");
  const [made, setMade] = useState<Dataset | null>(null); // kept, so that another try does not make it twice
  const [error, setError] = useState<unknown>(null);
  const uploads = useUploads();
  const create = useCreateDataset();
  const createVersion = useCreateVersionOf();

  const run = async () => {
    setError(null);
    try {
      const files = await uploads.send(project.id);
      const dataset = made ?? (await create.mutateAsync({ project: project.id, name, description, format }));
      setMade(dataset);
      await createVersion.mutateAsync({ datasetId: dataset.id, body: { files } });
      onDone(dataset);
    } catch (problem) {
      setError(problem);
    }
  };
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    void run();
  };
  const nameError = error instanceof ApiError ? error.fieldErrors.find((item) => item.field === "name") : undefined;
  const isBusy = uploads.isRunning || create.isPending || createVersion.isPending;
  return (
    <form onSubmit={submit} data-testid="new-dataset-form">
      <Stack gap="sm">
        <TextInput
          label="Name"
          withAsterisk
          maxLength={63}
          value={name}
          onChange={(event) => setName(event.currentTarget.value)}
          error={nameError?.message}
          disabled={made !== null}
          data-autofocus
        />
        <Textarea
          label="Description"
          value={description}
          onChange={(event) => setDescription(event.currentTarget.value)}
          autosize
          minRows={1}
        />
        <Select
          label="Format"
          data={FORMATS}
          value={format}
          onChange={(value) => setFormat(value ?? "auto")}
          allowDeselect={false}
        />
        <FileDrop hint={UPLOAD_HINT} onFiles={uploads.add} />
        <UploadList uploads={uploads} />
        {error !== null && (
          <Alert role="alert" color="red" variant="light">
            {describeError(error)}
          </Alert>
        )}
        <Group justify="flex-end">
          {uploads.isRunning && (
            <Button variant="default" onClick={uploads.stop}>
              Stop
            </Button>
          )}
          <Button type="submit" loading={isBusy} disabled={!name.trim() || uploads.items.length === 0}>
            Create dataset
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
