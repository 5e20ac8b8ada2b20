/** Sampled texts, with the prompt set off from what the model added. */
import { Paper, Text } from "@mantine/core";

export function Completions({ prompt, texts }: { prompt: unknown; texts: string[] }) {
  const given = typeof prompt === "string" ? prompt : "";
  return texts.map((text, index) => {
    const added = text.startsWith(given) ? text.slice(given.length) : text;
    return (
      <Paper key={index} withBorder p="sm" bg="var(--mantine-color-default-hover)" data-testid="completion">
        <Text ff="monospace" fz="xs" style={{ whiteSpace: "pre-wrap", overflowWrap: "anywhere" }}>
          <Text span inherit c="dimmed">
            {given}
          </Text>
          {added}
        </Text>
      </Paper>
    );
  });
}
