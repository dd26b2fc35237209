import { Alert, Anchor, Breadcrumbs, Card, Grid, Group, SimpleGrid, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";

import type { Assignment, Rollout, Stage } from "../../api/client";
import { assignmentsQuery, rolloutLogQuery, rolloutQuery } from "../../api/queries";
import { Log } from "../../ui/Log";
import { Prose } from "../../ui/Prose";
import { bytes, many, milliseconds, short } from "../../ui/format";
import { Ago, Digest, Figure, Heading, Section, State } from "../../ui/parts";
import { Loaded } from "../../ui/states";
import { Actions } from "./Actions";
import { Assignments } from "./Assignments";
import { ProgressChart } from "./ProgressChart";
import { StageBar } from "./StageBar";
import { gate, openStage, reason, taken } from "./rollout";

export function RolloutPage() {
  const { id } = useParams({ from: "/rollouts/$id" });
  const rollout = useQuery(rolloutQuery(id));
  return (
    <>
      <Breadcrumbs mb="xs">
        <Anchor component={Link} to="/rollouts" size="sm">
          Rollouts
        </Anchor>
        <Text size="sm" ff="monospace">
          {short(id)}…
        </Text>
      </Breadcrumbs>
      <Loaded query={rollout}>{(view) => <RolloutView rollout={view} />}</Loaded>
    </>
  );
}

function RolloutView({ rollout }: { rollout: Rollout }) {
  const log = useQuery(rolloutLogQuery(rollout.id));
  const assignments = useQuery(assignmentsQuery(rollout.id));
  return (
    <>
      <Heading
        title={`${rollout.model} to ${rollout.selector === "all" ? "all devices" : rollout.selector}`}
        mark={<State state={rollout.state} />}
        about={<About rollout={rollout} />}
      >
        <Actions rollout={rollout} />
      </Heading>
      <Stack gap="lg">
        <Why rollout={rollout} />
        <Figures rollout={rollout} assignments={assignments.data ?? []} />
        <SimpleGrid cols={{ base: 1, md: Math.min(Math.max(rollout.stages.length, 1), 3) }}>
          {rollout.stages.map((stage, place) => (
            <StageCard key={stage.name} stage={stage} place={place} />
          ))}
        </SimpleGrid>
        <Grid gap="xl">
          <Grid.Col span={{ base: 12, lg: 8 }}>
            <Section title="Devices">
              <Loaded query={assignments}>{(rows) => <Assignments stages={rollout.stages} rows={rows} />}</Loaded>
              <LeftOut rollout={rollout} />
            </Section>
          </Grid.Col>
          <Grid.Col span={{ base: 12, lg: 4 }}>
            <Section title="What happened">
              <Loaded query={log}>
                {(events) => (
                  <>
                    <ProgressChart events={events} total={rollout.counts.total} />
                    <Log events={events} stages={rollout.stages.map((stage) => stage.name)} />
                  </>
                )}
              </Loaded>
            </Section>
          </Grid.Col>
        </Grid>
      </Stack>
    </>
  );
}

function About({ rollout }: { rollout: Rollout }) {
  const stage = openStage(rollout);
  return (
    <>
      release <Digest value={rollout.release_digest} label="release digest" />, created <Ago at={rollout.created_at} />
      {stage && <>, in stage {stage}</>}
    </>
  );
}

/** Who or what brought a rollout to a halt. */
function Why({ rollout }: { rollout: Rollout }) {
  const why = reason(rollout);
  if (why === undefined) return null;
  return (
    <Alert color="orange" title={`It is ${rollout.state}`}>
      <Prose text={why} />
    </Alert>
  );
}

function Figures({ rollout: { counts }, assignments }: { rollout: Rollout; assignments: Assignment[] }) {
  const { wire, serving } = taken(assignments);
  return (
    <SimpleGrid cols={{ base: 2, sm: 4 }}>
      <Card>
        <Figure name="Serve the release" value={counts.total === 0 ? "–" : `${counts.active} of ${counts.total}`} about="by their own signed reports" />
      </Card>
      <Card>
        <Figure name="Failed" value={counts.failed} about="failed, went back, or silent" />
      </Card>
      <Card>
        <Figure name="Told to serving" value={serving === undefined ? "–" : milliseconds(serving)} about="median of devices" />
      </Card>
      <Card>
        <Figure name="On the wire" value={wire === 0 ? "–" : bytes(wire)} about="downloaded by all devices" />
      </Card>
    </SimpleGrid>
  );
}

function StageCard({ stage, place }: { stage: Stage; place: number }) {
  return (
    <Card>
      <Group justify="space-between" mb="xs">
        <Text fw={650}>
          <Text span inherit c="dimmed" mr={8}>
            {place + 1}
          </Text>
          {stage.name}
        </Text>
        <State state={stage.progress} />
      </Group>
      <StageBar name={`Stage ${stage.name}`} counts={stage.counts} legend />
      <Text size="xs" c="dimmed" mt="sm">
        {gate(stage)}
      </Text>
    </Card>
  );
}

function LeftOut({ rollout }: { rollout: Rollout }) {
  if (rollout.left_out.length === 0) return null;
  const one = rollout.left_out.length === 1;
  return (
    <Alert color="gray" mt="md" title={`${many(rollout.left_out.length, "selected device")} ${one ? "is" : "are"} not in this rollout`}>
      {rollout.left_out.map((left) => (
        <Text key={left.device} size="sm">
          {left.device}: <Prose text={left.reason} />
        </Text>
      ))}
    </Alert>
  );
}
