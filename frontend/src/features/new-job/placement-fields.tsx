/** Name, place and priority of the job. */
import { NumberInput, Select, SimpleGrid, Text, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { poolsQuery } from "@/lib/queries/cluster";
import type { Draft } from "./draft";

interface PlacementFieldsProps {
  draft: Draft;
  onChange: (changes: Partial<Draft>) => void;
  errors: Record<string, string>;
}

const asBound = (value: number | string): number | null => (typeof value === "number" ? value : null);
const asCount = (value: number | string): number => (typeof value === "number" ? value : 1);

export function PlacementFields({ draft, onChange, errors }: PlacementFieldsProps) {
  const { data: pools = [] } = useQuery(poolsQuery);
  const { resources } = draft;
  const pool = pools.find((item) => item.name === resources.pool);
  const names = pools.map((item) => item.name);
  const setResources = (changes: Partial<Draft["resources"]>) => onChange({ resources: { ...resources, ...changes } });
  const ranks = resources.nodes * resources.slots_per_node;
  return (
    <>
      <SimpleGrid cols={{ base: 1, xs: 2, lg: 7 }} spacing="md" verticalSpacing="sm">
        <TextInput
          label="Name"
          withAsterisk
          maxLength={120}
          value={draft.name}
          onChange={(event) => onChange({ name: event.currentTarget.value })}
          error={errors["name"]}
        />
        <Select
          label="Pool"
          data={names.includes(resources.pool) ? names : [resources.pool, ...names]}
          value={resources.pool}
          onChange={(value) => setResources({ pool: value ?? resources.pool })}
          allowDeselect={false}
          error={errors["resources.pool"]}
        />
        <NumberInput
          label="Nodes"
          min={1}
          allowDecimal={false}
          value={resources.nodes}
          onChange={(value) => setResources({ nodes: asCount(value) })}
          error={errors["resources.nodes"]}
        />
        <NumberInput
          label="Fewest nodes"
          min={1}
          allowDecimal={false}
          placeholder="same"
          value={resources.min_nodes ?? ""}
          onChange={(value) => setResources({ min_nodes: asBound(value) })}
          error={errors["resources.min_nodes"]}
        />
        <NumberInput
          label="Most nodes"
          min={1}
          allowDecimal={false}
          placeholder="same"
          value={resources.max_nodes ?? ""}
          onChange={(value) => setResources({ max_nodes: asBound(value) })}
          error={errors["resources.max_nodes"]}
        />
        <NumberInput
          label="Slots per node"
          min={1}
          allowDecimal={false}
          value={resources.slots_per_node}
          onChange={(value) => setResources({ slots_per_node: asCount(value) })}
          error={errors["resources.slots_per_node"] ?? errors["resources"]}
        />
        <NumberInput
          label="Priority"
          allowDecimal={false}
          value={draft.priority}
          onChange={(value) => onChange({ priority: typeof value === "number" ? value : 0 })}
          error={errors["priority"]}
        />
      </SimpleGrid>
      <Text fz="xs" c="dimmed" mt="xs">
        {ranks === 1 ? "One rank." : `${ranks} ranks.`}
        {pool && ` ${pool.free_slots} of ${pool.total_slots} slots in ${pool.name} are free now.`}
      </Text>
    </>
  );
}
