import { Button, Center, Table, UnstyledButton } from "@mantine/core";
import {
  type ColumnDef,
  createSortedRowModel,
  rowSortingFeature,
  sortFn_alphanumeric,
  tableFeatures,
  useTable,
} from "@tanstack/react-table";
import { useState } from "react";

const features = tableFeatures({
  rowSortingFeature,
  sortedRowModel: createSortedRowModel(),
  sortFns: { alphanumeric: sortFn_alphanumeric },
});

/** A column of a table of `Row`s. */
export type Column<Row extends object> = ColumnDef<typeof features, Row, unknown> & {
  /** Its cells are figures: they stand below one another, at the right. */
  numeric?: boolean;
};

const ARROWS = { asc: " ▲", desc: " ▼" } as const;
const ARIA_SORT = { asc: "ascending", desc: "descending" } as const;

/** Rows that are drawn before a person asks for more: a browser is slow at thousands. */
const FIRST_ROWS = 200;

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
  const [drawn, setDrawn] = useState(FIRST_ROWS);
  const table = useTable({
    features,
    columns,
    data: rows,
    getRowId: rowKey,
    sortDescFirst: false,
    defaultColumn: { sortUndefined: "last" },
  });
  const numeric = new Set(columns.filter((column) => column.numeric).map((column) => column.id));
  const align = (column: { id: string }) => (numeric.has(column.id) ? { className: "numeric" } : {});
  return (
    <>
      <Table.ScrollContainer minWidth={640}>
        <Table className="data-table" highlightOnHover verticalSpacing="xs" aria-label={caption}>
          <Table.Thead>
            {table.getHeaderGroups().map((group) => (
              <Table.Tr key={group.id}>
                {group.headers.map((header) => {
                  const sorted = header.column.getIsSorted();
                  return (
                    <Table.Th
                      key={header.id}
                      aria-sort={sorted ? ARIA_SORT[sorted] : "none"}
                      {...align(header.column)}
                    >
                      {header.column.getCanSort() ? (
                        <UnstyledButton onClick={header.column.getToggleSortingHandler()}>
                          <table.FlexRender header={header} />
                          {sorted && ARROWS[sorted]}
                        </UnstyledButton>
                      ) : (
                        <table.FlexRender header={header} />
                      )}
                    </Table.Th>
                  );
                })}
              </Table.Tr>
            ))}
          </Table.Thead>
          <Table.Tbody>
            {table
              .getRowModel()
              .rows.slice(0, drawn)
              .map((row) => (
                <Table.Tr key={row.id}>
                  {row.getAllCells().map((cell) => (
                    <Table.Td key={cell.id} {...align(cell.column)}>
                      <table.FlexRender cell={cell} />
                    </Table.Td>
                  ))}
                </Table.Tr>
              ))}
          </Table.Tbody>
        </Table>
      </Table.ScrollContainer>
      {rows.length > drawn && (
        <Center mt="sm">
          <Button variant="default" size="xs" onClick={() => setDrawn(drawn + FIRST_ROWS)}>
            {`Show more: ${drawn} of ${rows.length} are shown`}
          </Button>
        </Center>
      )}
    </>
  );
}
