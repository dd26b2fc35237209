import { Anchor, Group, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";

import type { Rollout } from "../../api/client";
import { rolloutsQuery } from "../../api/queries";
import { type Column, DataTable } from "../../ui/DataTable";
import { Ago, Command, Digest, Heading, State } from "../../ui/parts";
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
              <Command line="espalier rollout start RELEASE" />
              <div>starts one: a canary first, and the rest when the canary serves it.</div>
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
      <Group gap={8} wrap="nowrap">
        <Anchor component={Link} to={`/rollouts/${rollout.id}`} fw={600} inherit>
          {rollout.model}
        </Anchor>
        <Digest value={rollout.id} label="rollout id" />
      </Group>
    ),
  },
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
    cell: ({ row: { original: rollout } }) => (
      <Group gap="sm" wrap="nowrap">
        <StageBar name={rollout.model} counts={rollout.counts} width={180} />
        <Text span inherit style={{ whiteSpace: "nowrap" }}>
          {rollout.counts.active} of {rollout.counts.total}
        </Text>
      </Group>
    ),
  },
  {
    id: "created",
    header: "Created",
    accessorFn: (rollout) => rollout.created_at,
    cell: ({ row: { original: rollout } }) => <Ago at={rollout.created_at} />,
  },
];
