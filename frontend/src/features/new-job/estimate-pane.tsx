/** What the job would take, as the server tells it, while the form is filled in. */
import { Alert, SimpleGrid, Stack, Text } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { Panel } from "@/components/panel";
import { Stat } from "@/components/stat";
import { ApiError, describeError } from "@/lib/api-error";
import type { Estimate, TrainingEstimate } from "@/lib/api-types";
import { formatBytes, formatCount, humanize } from "@/lib/format";
import { estimateQuery } from "@/lib/queries/estimate";
import type { Draft } from "./draft";
import { MeshMap } from "./mesh-map";

const TYPING_MS = 400;
const MEMORY_PARTS = ["weights", "gradients", "optimizer", "activations"] as const;

export function EstimatePane({ project, draft }: { project: string; draft: Draft }) {
  const [{ spec, resources }] = useDebouncedValue(draft, TYPING_MS);
  const { data, error } = useQuery({
    ...estimateQuery({ project, spec, resources }),
    placeholderData: keepPreviousData,
  });
  return (
    <Panel title="What it takes" testId="estimate">
      {error ? <Refusal error={error} /> : data && <Estimated estimate={data} />}
    </Panel>
  );
}

function Refusal({ error }: { error: Error }) {
  const fields = error instanceof ApiError ? error.fieldErrors : [];
  return (
    <Alert color="yellow" variant="light" p="xs" fz="sm" title="Not yet ready to submit">
      {fields.map(({ field, message }) => (
        <div key={`${field} ${message}`}>{`${field}: ${message}`}</div>
      ))}
      {fields.length === 0 && describeError(error)}
    </Alert>
  );
}

function Estimated({ estimate }: { estimate: Estimate }) {
  const { training, num_ranks: numRanks } = estimate;
  if (training) return <Training estimate={training} numRanks={numRanks} />;
  return (
    <Text fz="sm" c="dimmed">
      {numRanks === 1 ? "One rank" : `${numRanks} ranks`}. Nothing more is known of this kind beforehand.
    </Text>
  );
}

function Training({ estimate, numRanks }: { estimate: TrainingEstimate; numRanks: number }) {
  const { memory, mesh } = estimate;
  return (
    <Stack gap="sm">
      <SimpleGrid cols={3} spacing="xs">
        <Stat label="Parameters">{formatCount(estimate.num_parameters)}</Stat>
        <Stat label="Tokens a step">{formatCount(estimate.tokens_per_step)}</Stat>
        <Stat label="Memory a rank">{formatBytes(memory?.total)}</Stat>
      </SimpleGrid>
      {memory && (
        <Text fz="xs" c="dimmed" className="tabular">
          {MEMORY_PARTS.map((part) => `${humanize(part)} ${formatBytes(memory[part])}`).join(", ")}
        </Text>
      )}
      {numRanks > 1 && <MeshMap mesh={mesh} />}
    </Stack>
  );
}
