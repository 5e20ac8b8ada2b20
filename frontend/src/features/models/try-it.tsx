/** Ask a version for a completion: a short job on a warm rank. */
import { Alert, Button, Group, NumberInput, Stack, Textarea } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState, type SyntheticEvent } from "react";
import { Completions } from "@/components/completions";
import { JobStateBadge } from "@/components/job-state-badge";
import { Panel } from "@/components/panel";
import { TextLink } from "@/components/text-link";
import { describeError } from "@/lib/api-error";
import type { ModelVersion } from "@/lib/api-types";
import { completionsOf } from "@/lib/completions";
import { jobQuery, useSubmitJob } from "@/lib/queries/jobs";
import { randomId } from "@/lib/random-id";
import { useProject } from "@/lib/use-project";

const LOOK_AGAIN_MS = 500;

export function TryIt({ version }: { version: ModelVersion }) {
  const { projects, target } = useProject();
  const project = projects.find((item) => item.id === version.project) ?? target;
  const [prompt, setPrompt] = useState("def main(");
  const [tokens, setTokens] = useState(64);
  const [temperature, setTemperature] = useState(0.8);
  const submit = useSubmitJob();
  const send = (event: SyntheticEvent) => {
    event.preventDefault();
    if (!project) return;
    submit.mutate({
      body: {
        project: project.id,
        name: `try-${version.name}`,
        spec: { kind: "generate", model: version.name, prompt, max_new_tokens: tokens, temperature },
        resources: { pool: "default", nodes: 1, slots_per_node: 1 },
        priority: 0,
      },
      idempotencyKey: randomId(),
    });
  };
  return (
    <Panel title="Try it" testId="try-it">
      <form onSubmit={send}>
        <Stack gap="sm">
          <Textarea
            label="Prompt"
            autosize
            minRows={2}
            maxRows={10}
            value={prompt}
            onChange={(event) => setPrompt(event.currentTarget.value)}
            styles={{ input: { fontFamily: "var(--mantine-font-family-monospace)" } }}
          />
          <Group align="flex-end" gap="sm">
            <NumberInput
              label="New tokens"
              w={120}
              min={1}
              max={8192}
              allowDecimal={false}
              value={tokens}
              onChange={(value) => setTokens(Number(value) || 1)}
            />
            <NumberInput
              label="Temperature"
              w={120}
              min={0}
              max={10}
              step={0.1}
              value={temperature}
              onChange={(value) => setTemperature(Number(value))}
            />
            <Button type="submit" loading={submit.isPending} disabled={!prompt || !project}>
              Complete
            </Button>
          </Group>
          {submit.error && (
            <Alert role="alert" color="red" variant="light">
              {describeError(submit.error)}
            </Alert>
          )}
          {submit.data && <Answer jobId={submit.data.id} prompt={submit.data.spec["prompt"]} />}
        </Stack>
      </form>
    </Panel>
  );
}

function Answer({ jobId, prompt }: { jobId: string; prompt: unknown }) {
  const { data: job } = useQuery({
    ...jobQuery(jobId),
    refetchInterval: (query) => (query.state.data?.is_final ? false : LOOK_AGAIN_MS),
  });
  if (!job) return null;
  const texts = completionsOf(job.result);
  return (
    <Stack gap="xs">
      <Group gap="xs">
        <JobStateBadge state={job.state} size="sm" />
        <TextLink to={`/jobs/${job.id}`} fz="xs">
          Job #{job.number}
        </TextLink>
      </Group>
      {job.is_final && texts.length === 0 && (
        <Alert color="red" variant="light">
          {job.state_reason || "It ended without an answer."}
        </Alert>
      )}
      <Completions prompt={prompt} texts={texts} />
    </Stack>
  );
}
