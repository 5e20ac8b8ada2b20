/** A table with a column for each job, the baseline marked. */
import { Table, Text } from "@mantine/core";
import type { ReactNode } from "react";
import type { Job } from "@/lib/api-types";

export interface CompareRow {
  key: string;
  label: string;
  cells: ReactNode[];
}

interface CompareTableProps {
  label: string;
  jobs: Job[];
  baseline: string | undefined;
  rows: CompareRow[];
  isNumeric?: boolean;
}

export function CompareTable({ label, jobs, baseline, rows, isNumeric = false }: CompareTableProps) {
  const align = isNumeric ? "right" : "left";
  return (
    <Table.ScrollContainer
      minWidth={220 + jobs.length * 150}
      type="native"
      scrollAreaProps={{ tabIndex: 0, role: "region", "aria-label": label }}
    >
      <Table aria-label={label} fz="sm" highlightOnHover verticalSpacing={6}>
        <Table.Thead>
          <Table.Tr>
            <Table.Th w={200}>
              <Text span fz="xs" c="dimmed" fw={600}>
                {label}
              </Text>
            </Table.Th>
            {jobs.map((job) => (
              <Table.Th key={job.id} ta={align} fz="xs">
                {job.name} #{job.number}
                {job.id === baseline && (
                  <Text span c="dimmed" fz="xs">
                    {" "}
                    baseline
                  </Text>
                )}
              </Table.Th>
            ))}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {rows.map((row) => (
            <Table.Tr key={row.key} data-row={row.key}>
              <Table.Th scope="row" fw={500} style={{ overflowWrap: "anywhere" }}>
                {row.label}
              </Table.Th>
              {row.cells.map((cell, index) => (
                <Table.Td key={jobs[index]?.id ?? index} ta={align} className="tabular">
                  {cell}
                </Table.Td>
              ))}
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}
