/** The filter bar; every filter is in the address. */
import { Button, Group, MultiSelect, Select, TextInput } from "@mantine/core";
import { useDebouncedCallback } from "@mantine/hooks";
import { IconSearch } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { JOB_STATES, STATE_NAMES } from "@/lib/job-state";
import { catalogQuery } from "@/lib/queries/catalog";

interface JobFiltersProps {
  search: URLSearchParams;
  onChange: (changes: Record<string, string>) => void;
}

export function JobFilters({ search, onChange }: JobFiltersProps) {
  const { data: catalog = [] } = useQuery(catalogQuery);
  const changeName = useDebouncedCallback((value: string) => onChange({ search: value }), 300);
  const states = (search.get("state") ?? "").split(",").filter(Boolean);
  const isFiltered = ["state", "kind", "search"].some((name) => search.has(name));
  return (
    <Group gap="xs" align="center" p="sm">
      <TextInput
        key={isFiltered ? "set" : "clear"}
        size="xs"
        w={{ base: "100%", xs: 200 }}
        placeholder="Name"
        aria-label="Filter by name"
        leftSection={<IconSearch size={14} />}
        defaultValue={search.get("search") ?? ""}
        onChange={(event) => changeName(event.currentTarget.value)}
      />
      <MultiSelect
        size="xs"
        w={{ base: "100%", xs: 260 }}
        placeholder={states.length === 0 ? "Any state" : ""}
        aria-label="Filter by state"
        data={STATE_NAMES.map((value) => ({ value, label: JOB_STATES[value].label }))}
        value={states}
        onChange={(value) => onChange({ state: value.join(",") })}
        clearable
      />
      <Select
        size="xs"
        w={{ base: "100%", xs: 140 }}
        placeholder="Any kind"
        aria-label="Filter by kind"
        data={catalog.map((entry) => ({ value: entry.kind, label: entry.title }))}
        value={search.get("kind")}
        onChange={(value) => onChange({ kind: value ?? "" })}
        clearable
      />
      {isFiltered && (
        <Button size="xs" variant="subtle" onClick={() => onChange({ state: "", kind: "", search: "" })}>
          Clear
        </Button>
      )}
    </Group>
  );
}
