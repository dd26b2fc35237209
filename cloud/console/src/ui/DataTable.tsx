import { Table, UnstyledButton } from "@mantine/core";
import {
  type ColumnDef,
  createSortedRowModel,
  rowSortingFeature,
  sortFn_alphanumeric,
  tableFeatures,
  useTable,
} from "@tanstack/react-table";

const features = tableFeatures({
  rowSortingFeature,
  sortedRowModel: createSortedRowModel(),
  sortFns: { alphanumeric: sortFn_alphanumeric },
});

/** A column of a table of `Row`s. */
export type Column<Row extends object> = ColumnDef<typeof features, Row, unknown>;

const ARROWS = { asc: " ▲", desc: " ▼" } as const;
const ARIA_SORT = { asc: "ascending", desc: "descending" } as const;

type Props<Row extends object> = {
  /** What the table shows, for people who do not see it. */
  caption: string;
  /** Must stay the same object between renders. */
  columns: Column<Row>[];
  rows: Row[];
  rowKey: (row: Row) => string;
};

/** Rows under headings that sort by a click. */
export function DataTable<Row extends object>({ caption, columns, rows, rowKey }: Props<Row>) {
  const table = useTable({ features, columns, data: rows, getRowId: rowKey });
  return (
    <Table.ScrollContainer minWidth={720}>
      <Table className="data-table" highlightOnHover verticalSpacing="xs" aria-label={caption}>
        <Table.Thead>
          {table.getHeaderGroups().map((group) => (
            <Table.Tr key={group.id}>
              {group.headers.map((header) => {
                const sorted = header.column.getIsSorted();
                return (
                  <Table.Th key={header.id} aria-sort={sorted ? ARIA_SORT[sorted] : "none"}>
                    <UnstyledButton onClick={header.column.getToggleSortingHandler()}>
                      <table.FlexRender header={header} />
                      {sorted && ARROWS[sorted]}
                    </UnstyledButton>
                  </Table.Th>
                );
              })}
            </Table.Tr>
          ))}
        </Table.Thead>
        <Table.Tbody>
          {table.getRowModel().rows.map((row) => (
            <Table.Tr key={row.id}>
              {row.getAllCells().map((cell) => (
                <Table.Td key={cell.id}>
                  <table.FlexRender cell={cell} />
                </Table.Td>
              ))}
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}
