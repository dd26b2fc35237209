import { Anchor, Code } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";

import type { Rollout } from "../../api/client";
import { rolloutsQuery } from "../../api/queries";
import { type Column, DataTable } from "../../ui/DataTable";
import { short } from "../../ui/format";
import { Ago, Digest, Heading, State } from "../../ui/parts";
import { Empty, Loaded } from "../../ui/states";
import { StageBar } from "./StageBar";
import { reason } from "./rollout";

export function RolloutsPage() {
  const rollouts = useQuery(rolloutsQuery);
  return (
    <>
      <Heading title="Rollouts" about="Releases on their way to devices, in stages that stop by themselves." />
      <Loaded query={rollouts}>
        {(rows) =>
          rows.length === 0 ? (
            <Empty title="No rollouts yet">
              <Code>espalier rollout start RELEASE</Code> starts one, with a canary first.
            </Empty>
          ) : (
            <DataTable caption="Rollouts" columns={COLUMNS} rows={rows} rowKey={(rollout) => rollout.id} />
          )
        }
      </Loaded>
    </>
  );
}

const COLUMNS: Column<Rollout>[] = [
  {
    id: "id",
    header: "Rollout",
    accessorFn: (rollout) => rollout.id,
    cell: ({ row: { original: rollout } }) => (
      <Anchor component={Link} to={`/rollouts/${rollout.id}`} className="digest" fw={600}>
        {short(rollout.id)}…
      </Anchor>
    ),
  },
  { id: "model", header: "Model", accessorFn: (rollout) => rollout.model },
  {
    id: "release",
    header: "Release",
    accessorFn: (rollout) => rollout.release_digest,
    cell: ({ row: { original: rollout } }) => <Digest value={rollout.release_digest} label="release digest" />,
  },
  {
    id: "state",
    header: "State",
    accessorFn: (rollout) => rollout.state,
    cell: ({ row: { original: rollout } }) => <State state={rollout.state} title={reason(rollout)} />,
  },
  { id: "selector", header: "Devices", accessorFn: (rollout) => rollout.selector },
  {
    id: "progress",
    header: "Progress",
    accessorFn: (rollout) => rollout.counts.active,
    cell: ({ row: { original: rollout } }) => <StageBar name={rollout.model} counts={rollout.counts} width={180} />,
  },
  {
    id: "created",
    header: "Created",
    accessorFn: (rollout) => rollout.created_at,
    cell: ({ row: { original: rollout } }) => <Ago at={rollout.created_at} />,
  },
];
