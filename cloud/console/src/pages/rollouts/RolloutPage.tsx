import { Alert, Anchor, Breadcrumbs, Card, Grid, Group, Progress, SimpleGrid, Stack, Text, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { useMemo } from "react";

import type { Assignment, FleetEvent, Rollout, Stage } from "../../api/client";
import { assignmentsQuery, rolloutLogQuery, rolloutQuery } from "../../api/queries";
import { type Column, DataTable } from "../../ui/DataTable";
import { short } from "../../ui/format";
import { Ago, Digest, Heading, State } from "../../ui/parts";
import { Empty, Loaded } from "../../ui/states";
import { Actions } from "./Actions";
import { ProgressChart } from "./ProgressChart";
import { StageBar } from "./StageBar";
import { sentence } from "./history";
import { detail, downloaded, openStage, reason } from "./rollout";

export function RolloutPage() {
  const { id } = useParams({ from: "/rollouts/$id" });
  const rollout = useQuery(rolloutQuery(id));
  return (
    <>
      <Breadcrumbs mb="xs">
        <Anchor component={Link} to="/rollouts">
          Rollouts
        </Anchor>
        <Text className="digest">{short(id)}…</Text>
      </Breadcrumbs>
      <Loaded query={rollout}>{(view) => <RolloutView rollout={view} />}</Loaded>
    </>
  );
}

function RolloutView({ rollout }: { rollout: Rollout }) {
  const log = useQuery(rolloutLogQuery(rollout.id));
  const assignments = useQuery(assignmentsQuery(rollout.id));
  return (
    <Stack gap="lg">
      <Heading title={<Name rollout={rollout} />} about={<About rollout={rollout} />}>
        <Actions rollout={rollout} />
      </Heading>
      {reason(rollout) && (
        <Alert color="orange" variant="light" title={`It is ${rollout.state}`}>
          {reason(rollout)}
        </Alert>
      )}
      <SimpleGrid cols={{ base: 1, md: Math.min(Math.max(rollout.stages.length, 1), 3) }}>
        {rollout.stages.map((stage) => (
          <StageCard key={stage.name} stage={stage} />
        ))}
      </SimpleGrid>
      <LeftOut rollout={rollout} />
      <Grid gap="lg">
        <Grid.Col span={{ base: 12, lg: 8 }}>
          <SectionTitle>Devices</SectionTitle>
          <Loaded query={assignments}>{(rows) => <Assignments rollout={rollout} rows={rows} />}</Loaded>
        </Grid.Col>
        <Grid.Col span={{ base: 12, lg: 4 }}>
          <SectionTitle>What happened</SectionTitle>
          <Loaded query={log}>
            {(events) => (
              <>
                <ProgressChart events={events} total={rollout.counts.total} />
                <Log events={events} stages={rollout.stages.map((stage) => stage.name)} />
              </>
            )}
          </Loaded>
        </Grid.Col>
      </Grid>
    </Stack>
  );
}

function Name({ rollout }: { rollout: Rollout }) {
  return (
    <Group gap="sm">
      {rollout.model}
      <State state={rollout.state} title={reason(rollout)} />
    </Group>
  );
}

function About({ rollout }: { rollout: Rollout }) {
  const stage = openStage(rollout);
  return (
    <Group gap={6}>
      release <Digest value={rollout.release_digest} label="release digest" /> to {rollout.selector}, created{" "}
      <Ago at={rollout.created_at} />
      {stage && <>, in stage {stage}</>}
    </Group>
  );
}

function SectionTitle({ children }: { children: string }) {
  return (
    <Title order={4} mb="xs">
      {children}
    </Title>
  );
}

function StageCard({ stage }: { stage: Stage }) {
  return (
    <Card withBorder>
      <Group justify="space-between" mb="xs">
        <Text fw={650}>{stage.name}</Text>
        <State state={stage.progress} />
      </Group>
      <StageBar name={`Stage ${stage.name}`} counts={stage.counts} legend />
      <Text size="xs" c="dimmed" mt="sm">
        Passes when {stage.success_percent} % serve the release; above {stage.failure_percent} % failed the rollout is to{" "}
        {stage.on_failure}. A device has {stage.timeout_seconds} s.
      </Text>
    </Card>
  );
}

function LeftOut({ rollout }: { rollout: Rollout }) {
  if (rollout.left_out.length === 0) return null;
  return (
    <Alert color="gray" title={`${rollout.left_out.length} selected devices are not in this rollout`}>
      {rollout.left_out.map((left) => (
        <Text key={left.device} size="sm">
          {left.device}: {left.reason}
        </Text>
      ))}
    </Alert>
  );
}

function Assignments({ rollout, rows }: { rollout: Rollout; rows: Assignment[] }) {
  const columns = useMemo(() => columnsOf(rollout.stages), [rollout.stages]);
  if (rows.length === 0) return <Empty title="No device is enlisted">Devices are enlisted when the rollout is started.</Empty>;
  return <DataTable caption="Devices of this rollout" columns={columns} rows={rows} rowKey={(row) => row.id} />;
}

function columnsOf(stages: Stage[]): Column<Assignment>[] {
  return [
    {
      id: "device",
      header: "Device",
      accessorFn: (row) => row.device,
      cell: ({ row: { original: row } }) => (
        <Anchor component={Link} to={`/fleet/${row.device}`} fw={600}>
          {row.device}
        </Anchor>
      ),
    },
    { id: "stage", header: "Stage", accessorFn: (row) => stages[row.stage]?.name ?? row.stage },
    {
      id: "phase",
      header: "State",
      accessorFn: (row) => row.phase,
      cell: ({ row: { original: row } }) => <State state={row.phase} />,
    },
    {
      id: "detail",
      header: "Detail",
      accessorFn: (row) => detail(row),
      cell: ({ row: { original: row } }) => <Detail row={row} />,
    },
  ];
}

function Detail({ row }: { row: Assignment }) {
  const share = downloaded(row);
  return (
    <>
      <Text size="sm">{detail(row)}</Text>
      {share !== undefined && <Progress value={share} size="sm" mt={4} aria-label={`Download of ${row.device}`} />}
    </>
  );
}

/** The log, newest first: what a person looks for is what just happened. */
function Log({ events, stages }: { events: FleetEvent[]; stages: string[] }) {
  if (events.length === 0) return <Text c="dimmed">Nothing yet.</Text>;
  return (
    <Stack gap={6} component="ol" style={{ listStyle: "none", padding: 0, margin: 0 }} aria-live="polite">
      {events.toReversed().map((event) => (
        <Group key={event.id} component="li" gap="xs" wrap="nowrap" align="baseline">
          <Text size="xs" c="dimmed" ff="monospace" style={{ whiteSpace: "nowrap" }}>
            {new Date(event.at).toLocaleTimeString()}
          </Text>
          <Text size="sm">{sentence(event, stages)}</Text>
        </Group>
      ))}
    </Stack>
  );
}
