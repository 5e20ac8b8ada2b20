/** What each rule says of a version. */
import { Group, List, Text, ThemeIcon } from "@mantine/core";
import { IconCheck, IconQuestionMark, IconX } from "@tabler/icons-react";
import type { Verdict } from "@/lib/api-types";
import { humanize } from "@/lib/format";

const SHOWN = {
  met: { icon: IconCheck, color: "green.8", word: "Met" },
  unmet: { icon: IconX, color: "red.8", word: "Not met" },
  unknown: { icon: IconQuestionMark, color: "gray.7", word: "Not judged yet" },
} as const;

export function VerdictList({ verdicts }: { verdicts: Verdict[] }) {
  if (verdicts.length === 0) {
    return (
      <Text c="dimmed" fz="sm">
        The model has no rules.
      </Text>
    );
  }
  return (
    <List listStyleType="none" spacing={6} fz="sm">
      {verdicts.map((verdict) => {
        const shown = verdict.passed === null ? SHOWN.unknown : verdict.passed ? SHOWN.met : SHOWN.unmet;
        return (
          <List.Item key={verdict.rule} data-testid={`verdict-${verdict.metric}`}>
            <Group gap="xs" wrap="nowrap" align="flex-start">
              <ThemeIcon size={18} radius="xl" color={shown.color}>
                <shown.icon size={12} aria-hidden />
              </ThemeIcon>
              <Text fz="sm">
                <b>{humanize(verdict.metric)}</b>
                {verdict.dataset_version ? ` on ${verdict.dataset_version}` : ""}: {shown.word}. {verdict.message}
              </Text>
            </Group>
          </List.Item>
        );
      })}
    </List>
  );
}
