/** A place to drop files on, or to pick them from. */
import { Button, FileButton, Group, Paper, Stack, Text } from "@mantine/core";
import { IconFileUpload } from "@tabler/icons-react";
import { useState, type DragEvent } from "react";

interface FileDropProps {
  hint: string;
  accept?: string;
  onFiles: (files: File[]) => void;
}

export function FileDrop({ hint, accept, onFiles }: FileDropProps) {
  const [isOver, setOver] = useState(false);
  const drop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    onFiles([...event.dataTransfer.files]);
  };
  const drag = (event: DragEvent) => {
    event.preventDefault();
    setOver(true);
  };
  return (
    <Paper
      withBorder
      p="lg"
      onDrop={drop}
      onDragOver={drag}
      onDragLeave={() => setOver(false)}
      data-testid="file-drop"
      style={{
        borderStyle: "dashed",
        borderColor: isOver ? "var(--mantine-primary-color-filled)" : undefined,
      }}
    >
      <Stack align="center" gap="xs">
        <Group gap="sm" justify="center">
          <IconFileUpload size={22} aria-hidden />
          <Text fz="sm">Drop files here, or</Text>
          <FileButton onChange={onFiles} multiple {...(accept ? { accept } : {})}>
            {(props) => (
              <Button {...props} variant="default" size="xs">
                Choose files
              </Button>
            )}
          </FileButton>
        </Group>
        <Text fz="xs" c="dimmed" ta="center">
          {hint}
        </Text>
      </Stack>
    </Paper>
  );
}
