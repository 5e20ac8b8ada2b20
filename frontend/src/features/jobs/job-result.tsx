/** What came out: the model version, or the sampled texts. */
import { Alert, Button, Group, Stack, Text } from "@mantine/core";
import { IconBox } from "@tabler/icons-react";
import { Link } from "react-router";
import { Completions } from "@/components/completions";
import { Panel } from "@/components/panel";
import type { Job } from "@/lib/api-types";
import { completionsOf } from "@/lib/completions";
import { ExportChecks } from "./export-checks";

export function JobResult({ job }: { job: Job }) {
  const completions = completionsOf(job.result);
  const version = job.output_version;
  return (
    <>
      {version && (
        <Alert variant="light" color="green" icon={<IconBox aria-hidden />} data-testid="job-result">
          <Group justify="space-between" gap="xs">
            <Text fz="sm">
              It made the model version <b>{version.name}</b>.
            </Text>
            <Button component={Link} to={`/model-versions/${version.id}`} size="xs" variant="default">
              Open {version.name}
            </Button>
          </Group>
        </Alert>
      )}
      <ExportChecks result={job.result} />
      {completions.length > 0 && (
        <Panel title={completions.length > 1 ? "Completions" : "Completion"} testId="job-result">
          <Stack gap="sm">
            <Completions prompt={job.spec["prompt"]} texts={completions} />
          </Stack>
        </Panel>
      )}
    </>
  );
}
