/** The job as YAML, editable; the form follows as soon as it can be read. */
import { Alert, Textarea } from "@mantine/core";
import { Panel } from "@/components/panel";

interface YamlPaneProps {
  text: string;
  error: string | null;
  onChange: (text: string) => void;
}

export function YamlPane({ text, error, onChange }: YamlPaneProps) {
  return (
    <Panel title="As YAML" description="The same job; edit either side." testId="yaml-pane">
      <Textarea
        aria-label="Job as YAML"
        autosize
        minRows={18}
        maxRows={44}
        spellCheck={false}
        value={text}
        onChange={(event) => onChange(event.currentTarget.value)}
        styles={{ input: { fontFamily: "var(--mantine-font-family-monospace)", fontSize: 12, whiteSpace: "pre" } }}
      />
      {error !== null && (
        <Alert role="alert" color="red" variant="light" mt="xs" p="xs" fz="sm">
          {error}
        </Alert>
      )}
    </Panel>
  );
}
