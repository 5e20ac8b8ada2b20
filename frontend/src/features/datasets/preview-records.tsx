/** Records as they are, shortened. */
import { Paper, Stack, Text } from "@mantine/core";

const SHOWN_CHARACTERS = 1_200;

function recordText(record: unknown): string {
  if (typeof record === "string") return record;
  if (typeof record === "object" && record !== null) {
    const text = (record as Record<string, unknown>)["text"];
    if (typeof text === "string") return text;
  }
  return JSON.stringify(record, null, 2);
}

export function PreviewRecords({ preview }: { preview: { records: unknown[] } }) {
  return (
    <Stack gap="xs">
      {preview.records.map((record, index) => {
        const text = recordText(record);
        return (
          <Paper key={index} p="xs" bg="var(--mantine-color-default-hover)" mah={220} style={{ overflow: "auto" }}>
            <Text ff="monospace" fz="xs" style={{ whiteSpace: "pre-wrap", overflowWrap: "anywhere" }}>
              {text.slice(0, SHOWN_CHARACTERS)}
              {text.length > SHOWN_CHARACTERS && " ..."}
            </Text>
          </Paper>
        );
      })}
    </Stack>
  );
}
