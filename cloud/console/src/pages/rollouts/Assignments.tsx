import { Anchor, Progress, Text } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import { useMemo } from "react";

import type { Assignment, Stage } from "../../api/client";
import { type Column, DataTable } from "../../ui/DataTable";
import { bytes, milliseconds } from "../../ui/format";
import { Nothing, State } from "../../ui/parts";
import { Empty } from "../../ui/states";
import { activation, detail, downloaded } from "./rollout";

/** The devices of a rollout, and what each measured on its way. */
export function Assignments({ stages, rows }: { stages: Stage[]; rows: Assignment[] }) {
  const names = stages.map((stage) => stage.name).join("\n");
  // A live rollout gives new stages with every reading; their names stay.
  const columns = useMemo(() => columnsOf(names.split("\n")), [names]);
  if (rows.length === 0) {
    return <Empty title="No device is enlisted">Devices are enlisted when the rollout is started.</Empty>;
  }
  return <DataTable caption="Devices of this rollout" columns={columns} rows={rows} rowKey={(row) => row.id} />;
}

function columnsOf(stages: string[]): Column<Assignment>[] {
  return [
    {
      id: "device",
      header: "Device",
      accessorFn: (row) => row.device,
      cell: ({ row: { original: row } }) => (
        <Anchor component={Link} to={`/fleet/${row.device}`} fw={600} inherit style={{ whiteSpace: "nowrap" }}>
          {row.device}
        </Anchor>
      ),
    },
    { id: "stage", header: "Stage", accessorFn: (row) => stages[row.stage] ?? row.stage },
    {
      id: "phase",
      header: "State",
      accessorFn: (row) => row.phase,
      cell: ({ row: { original: row } }) => <Phase row={row} />,
    },
    {
      id: "bytes",
      header: "Downloaded",
      numeric: true,
      accessorFn: (row) => activation(row)?.bytes_downloaded,
      cell: measured((row) => activation(row)?.bytes_downloaded, bytes),
    },
    {
      id: "duration",
      header: "Told to serving",
      numeric: true,
      accessorFn: (row) => activation(row)?.duration_ms,
      cell: measured((row) => activation(row)?.duration_ms, milliseconds),
    },
    {
      id: "agreement",
      header: "Agreement",
      numeric: true,
      accessorFn: (row) => activation(row)?.golden_agreement ?? undefined,
      cell: measured(
        (row) => activation(row)?.golden_agreement,
        (iou) => iou.toFixed(3),
      ),
    },
    {
      id: "latency",
      header: "An inference",
      numeric: true,
      accessorFn: (row) => activation(row)?.golden_latency_ms ?? undefined,
      cell: measured((row) => activation(row)?.golden_latency_ms, milliseconds),
    },
  ];
}

function measured(read: (row: Assignment) => number | null | undefined, write: (figure: number) => string) {
  return ({ row: { original: row } }: { row: { original: Assignment } }) => {
    const figure = read(row);
    return figure == null ? <Nothing /> : write(figure);
  };
}

function Phase({ row }: { row: Assignment }) {
  const said = detail(row);
  const share = downloaded(row);
  return (
    <>
      <State state={row.phase} />
      {said !== "" && (
        <Text size="xs" c="dimmed" mt={2}>
          {said}
        </Text>
      )}
      {share !== undefined && <Progress value={share} size="sm" mt={4} aria-label={`Download of ${row.device}`} />}
    </>
  );
}
