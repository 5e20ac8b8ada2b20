/** What was asked for a version, and what became of it. */
import { Badge, Group, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Panel } from "@/components/panel";
import { RelativeTime } from "@/components/relative-time";
import { TextLink } from "@/components/text-link";
import type { ModelVersion, Promotion } from "@/lib/api-types";
import { humanize } from "@/lib/format";
import { promotionsQuery } from "@/lib/queries/lifecycle";
import { VerdictList } from "./verdict-list";

const COLORS: Record<Promotion["state"], string> = { pending: "blue", promoted: "green", refused: "red" };

export function VersionPromotions({ version }: { version: ModelVersion }) {
  const { data: promotions = [] } = useQuery(promotionsQuery(version.id));
  if (promotions.length === 0) return null;
  return (
    <Panel title="Promotions" testId="version-promotions">
      <Stack gap="md">
        {promotions.map((promotion) => (
          <Stack gap={6} key={promotion.id}>
            <Group gap="xs">
              <Badge size="sm" variant="light" color={COLORS[promotion.state]} tt="none">
                {promotion.state === "pending" ? "Waits for evaluations" : humanize(promotion.state)}
              </Badge>
              <Text fz="sm">
                to {promotion.target} by {promotion.requested_by}, <RelativeTime iso={promotion.created_at} />
                {promotion.is_override ? ", although rules were not met" : ""}
              </Text>
            </Group>
            {promotion.reason && <Text fz="sm">{promotion.reason}</Text>}
            {promotion.state === "pending" ? (
              <Group gap="xs">
                {promotion.jobs.map((job) => (
                  <TextLink key={job.id} to={`/jobs/${job.id}`} fz="sm">
                    {job.name} #{job.number}: {job.state}
                  </TextLink>
                ))}
              </Group>
            ) : (
              <>
                <Text fz="sm" c="dimmed">
                  {promotion.decision}
                </Text>
                {promotion.verdicts.length > 0 && <VerdictList verdicts={promotion.verdicts} />}
              </>
            )}
          </Stack>
        ))}
      </Stack>
    </Panel>
  );
}
