/** A dense table: 36 px rows, figures to the right, sorting by header where the server can. */
import { Table, UnstyledButton } from "@mantine/core";
import { IconArrowDown, IconArrowUp } from "@tabler/icons-react";
import type { ReactNode } from "react";
import classes from "./data-table.module.css";

export interface Column<Row> {
  key: string;
  header: string;
  render: (row: Row) => ReactNode;
  /** The server's name of the field, where the list can be ordered by it. */
  sortBy?: string;
  isNumeric?: boolean;
  /** The narrowest screen that shows the column. */
  from?: "xs" | "sm" | "md" | "lg";
  width?: number | string;
}

interface DataTableProps<Row> {
  columns: Column<Row>[];
  rows: Row[];
  rowKey: (row: Row) => string;
  /** As in the API: a field name, with a minus for descending. */
  ordering?: string;
  onOrder?: (ordering: string) => void;
  label: string;
  minWidth?: number;
}

export function DataTable<Row>({ columns, rows, rowKey, ordering, onOrder, label, minWidth = 0 }: DataTableProps<Row>) {
  return (
    <Table.ScrollContainer minWidth={minWidth} type="native">
      <Table className={classes.table} aria-label={label} highlightOnHover verticalSpacing={0} horizontalSpacing="sm">
        <Table.Thead>
          <Table.Tr>
            {columns.map((column) => (
              <HeaderCell key={column.key} column={column} ordering={ordering} onOrder={onOrder} />
            ))}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {rows.map((row) => (
            <Table.Tr key={rowKey(row)} data-row={rowKey(row)}>
              {columns.map((column) => (
                <Table.Td key={column.key} visibleFrom={column.from} data-numeric={column.isNumeric || undefined}>
                  {column.render(row)}
                </Table.Td>
              ))}
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}

interface HeaderCellProps<Row> {
  column: Column<Row>;
  ordering: string | undefined;
  onOrder: ((ordering: string) => void) | undefined;
}

function HeaderCell<Row>({ column, ordering, onOrder }: HeaderCellProps<Row>) {
  const { sortBy } = column;
  const isAscending = ordering === sortBy;
  const isDescending = ordering === `-${sortBy ?? ""}`;
  const isSorted = sortBy !== undefined && (isAscending || isDescending);
  const Arrow = isAscending ? IconArrowUp : IconArrowDown;
  return (
    <Table.Th
      visibleFrom={column.from}
      data-numeric={column.isNumeric || undefined}
      w={column.width}
      aria-sort={isSorted ? (isAscending ? "ascending" : "descending") : undefined}
    >
      {sortBy !== undefined && onOrder ? (
        <UnstyledButton className={classes.sort} onClick={() => onOrder(isDescending ? sortBy : `-${sortBy}`)}>
          {column.header}
          {isSorted && <Arrow size={13} aria-hidden />}
        </UnstyledButton>
      ) : (
        column.header
      )}
    </Table.Th>
  );
}
