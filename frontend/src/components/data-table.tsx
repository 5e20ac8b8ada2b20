/** A dense table: 36 px rows, figures to the right, sorting by header where the server can. */
import { Checkbox, Table, UnstyledButton } from "@mantine/core";
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

/** Rows that can be ticked. */
export interface RowSelection<Row> {
  keys: ReadonlySet<string>;
  onToggle: (keys: string[], isOn: boolean) => void;
  labelOf: (row: Row) => string;
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
  selection?: RowSelection<Row>;
}

export function DataTable<Row>(props: DataTableProps<Row>) {
  const { columns, rows, rowKey, ordering, onOrder, label, minWidth = 0, selection } = props;
  return (
    <Table.ScrollContainer minWidth={minWidth} type="native">
      <Table className={classes.table} aria-label={label} highlightOnHover verticalSpacing={0} horizontalSpacing="sm">
        <Table.Thead>
          <Table.Tr>
            {selection && <SelectAllCell selection={selection} keys={rows.map(rowKey)} />}
            {columns.map((column) => (
              <HeaderCell key={column.key} column={column} ordering={ordering} onOrder={onOrder} />
            ))}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {rows.map((row) => (
            <Table.Tr key={rowKey(row)} data-row={rowKey(row)}>
              {selection && (
                <Table.Td w={36}>
                  <Checkbox
                    size="xs"
                    aria-label={`Select ${selection.labelOf(row)}`}
                    checked={selection.keys.has(rowKey(row))}
                    onChange={(event) => selection.onToggle([rowKey(row)], event.currentTarget.checked)}
                  />
                </Table.Td>
              )}
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

function SelectAllCell<Row>({ selection, keys }: { selection: RowSelection<Row>; keys: string[] }) {
  const count = keys.filter((key) => selection.keys.has(key)).length;
  return (
    <Table.Th w={36}>
      <Checkbox
        size="xs"
        aria-label="Select all on this page"
        checked={keys.length > 0 && count === keys.length}
        indeterminate={count > 0 && count < keys.length}
        onChange={(event) => selection.onToggle(keys, event.currentTarget.checked)}
      />
    </Table.Th>
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
