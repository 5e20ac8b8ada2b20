/** The beginning of the first documents, and where each stands. */
import { Alert, Paper, Stack, Text } from "@mantine/core";
import type { Preview } from "@/lib/api-types";

export function PreviewRecords({ preview }: { preview: Preview }) {
  return (
    <Stack gap="xs">
      {preview.records.map((record, index) => (
        <Paper key={index} p="xs" bg="var(--mantine-color-default-hover)">
          <Text fz="xs" c="dimmed" mb={4} style={{ overflowWrap: "anywhere" }}>
            {record.file}
            {record.place !== null && `, record ${record.place}`}
          </Text>
          <Text
            ff="monospace"
            fz="xs"
            mah={180}
            tabIndex={0}
            role="region"
            aria-label={`Text of document ${index + 1}`}
            style={{ whiteSpace: "pre-wrap", overflow: "auto", overflowWrap: "anywhere" }}
          >
            {record.text}
            {record.is_truncated && " ..."}
          </Text>
        </Paper>
      ))}
      {preview.error && (
        <Alert color="yellow" variant="light">
          {preview.error}
        </Alert>
      )}
    </Stack>
  );
}
