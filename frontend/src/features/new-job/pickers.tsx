/** Form widgets that offer what there is: datasets and model versions. */
import { Autocomplete, Checkbox, Select, Textarea } from "@mantine/core";
import type { WidgetProps } from "@rjsf/utils";
import { useQuery } from "@tanstack/react-query";
import { datasetsQuery } from "@/lib/queries/datasets";
import { recentVersionsQuery } from "@/lib/queries/models";
import { useProject } from "@/lib/use-project";

const textOf = (value: unknown): string => (typeof value === "string" ? value : "");
const firstOf = (errors: string[] | undefined): string | undefined => errors?.[0];

export function DatasetWidget({ id, label, value, required, rawErrors, onChange, schema }: WidgetProps) {
  const { target } = useProject();
  const { data: datasets = [] } = useQuery(datasetsQuery(target?.id));
  return (
    <Autocomplete
      id={id}
      label={label}
      description={schema.description}
      placeholder={datasets.length > 0 ? "Pick one, or name@version" : "There is no dataset in this project yet"}
      withAsterisk={required}
      data={datasets.map((dataset) => dataset.name)}
      value={textOf(value)}
      onChange={(next) => onChange(next || undefined)}
      error={firstOf(rawErrors)}
    />
  );
}

export function ModelVersionWidget({ id, label, value, required, rawErrors, onChange, schema }: WidgetProps) {
  const { data: versions = [] } = useQuery(recentVersionsQuery());
  const names = versions.map((version) => version.name);
  const current = textOf(value);
  return (
    <Select
      id={id}
      label={label}
      description={schema.description}
      placeholder={versions.length > 0 ? "Pick a version" : "There is no model version yet"}
      withAsterisk={required}
      data={current && !names.includes(current) ? [current, ...names] : names}
      value={current || null}
      onChange={(next) => onChange(next ?? undefined)}
      error={firstOf(rawErrors)}
      searchable
    />
  );
}

export function PromptWidget({ id, label, value, required, rawErrors, onChange, schema }: WidgetProps) {
  return (
    <Textarea
      id={id}
      label={label}
      description={schema.description}
      withAsterisk={required}
      autosize
      minRows={3}
      maxRows={12}
      value={textOf(value)}
      onChange={(event) => onChange(event.currentTarget.value || undefined)}
      error={firstOf(rawErrors)}
    />
  );
}

export function SwitchWidget({ id, label, value, onChange, schema, rawErrors }: WidgetProps) {
  return (
    <Checkbox
      id={id}
      mt={{ base: 0, xs: 30 }}
      label={label}
      description={schema.description}
      checked={value === true}
      onChange={(event) => onChange(event.currentTarget.checked)}
      error={firstOf(rawErrors)}
    />
  );
}
