/** What was asked for, as it was submitted; and how that differs from another job. */
import { Button, Code, CopyButton, Select, SimpleGrid, Table, Text } from "@mantine/core";
import { IconCheck, IconCopy } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { stringify } from "yaml";
import { ErrorPanel } from "@/components/error-panel";
import { RowsSkeleton } from "@/components/loading";
import { Panel } from "@/components/panel";
import type { Job } from "@/lib/api-types";
import { jobQuery, jobsQuery } from "@/lib/queries/jobs";
import { differingParameters, parameterText } from "@/lib/spec-diff";
import { setOrDelete, useSearch } from "@/lib/use-search";

export default function JobConfiguration({ job }: { job: Job }) {
  const text = useMemo(
    () => stringify({ name: job.name, priority: job.priority, resources: job.resources, spec: job.spec }),
    [job.name, job.priority, job.resources, job.spec],
  );
  return (
    <SimpleGrid cols={{ base: 1, lg: 2 }} spacing="md" style={{ alignItems: "start" }}>
      <Panel
        title="As YAML"
        testId="job-configuration"
        actions={
          <CopyButton value={text}>
            {({ copied, copy }) => (
              <Button
                size="xs"
                variant="default"
                onClick={copy}
                leftSection={copied ? <IconCheck size={14} /> : <IconCopy size={14} />}
              >
                {copied ? "Copied" : "Copy"}
              </Button>
            )}
          </CopyButton>
        }
      >
        <Code block fz="xs" tabIndex={0} role="region" aria-label="The job as YAML">
          {text}
        </Code>
      </Panel>
      <Differences job={job} />
    </SimpleGrid>
  );
}

function Differences({ job }: { job: Job }) {
  const [search, editSearch] = useSearch();
  const against = search.get("against");
  const { data: page } = useQuery(jobsQuery({ kind: job.kind, project: job.project, page_size: 100 }));
  const choices = (page?.jobs ?? [])
    .filter((other) => other.id !== job.id)
    .map((other) => ({ value: other.id, label: `${other.name} #${other.number}` }));
  const choose = (id: string | null) => editSearch((next) => setOrDelete(next, "against", id));
  return (
    <Panel title="Differences" description="From another job of this kind." testId="job-differences">
      <Select
        size="xs"
        mb="sm"
        aria-label="Compare with"
        placeholder={choices.length > 0 ? "Pick a job" : "There is no other job of this kind"}
        data={choices}
        value={against}
        onChange={choose}
        searchable
        clearable
      />
      {against !== null && <DifferenceTable job={job} against={against} />}
    </Panel>
  );
}

function DifferenceTable({ job, against }: { job: Job; against: string }) {
  const { data: other, error, refetch } = useQuery(jobQuery(against));
  if (error) return <ErrorPanel error={error} onRetry={() => void refetch()} />;
  if (!other) return <RowsSkeleton count={3} />;
  const rows = differingParameters([job, other]);
  if (rows.length === 0) {
    return (
      <Text fz="sm" c="dimmed">
        Both were asked for alike.
      </Text>
    );
  }
  return (
    <Table fz="sm" aria-label="Differences" verticalSpacing={4}>
      <Table.Thead>
        <Table.Tr>
          <Table.Th>Parameter</Table.Th>
          <Table.Th>#{job.number}</Table.Th>
          <Table.Th>#{other.number}</Table.Th>
        </Table.Tr>
      </Table.Thead>
      <Table.Tbody>
        {rows.map(({ path, values }) => (
          <Table.Tr key={path}>
            <Table.Td style={{ overflowWrap: "anywhere" }}>{path}</Table.Td>
            {values.map((value, index) => (
              <Table.Td key={index} className="tabular" style={{ overflowWrap: "anywhere" }}>
                {parameterText(value)}
              </Table.Td>
            ))}
          </Table.Tr>
        ))}
      </Table.Tbody>
    </Table>
  );
}
