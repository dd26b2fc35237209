import { Alert, Anchor, Breadcrumbs, Card, Code, List, Progress, SimpleGrid, Stack, Table, Text, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";

import type { Build, Evaluation } from "../../api/client";
import { buildQuery } from "../../api/queries";
import { bytes, count, milliseconds, percent, short } from "../../ui/format";
import { Ago, Digest, Figure, Heading, State } from "../../ui/parts";
import { Loaded } from "../../ui/states";
import { bundle, evaluation, shareOfFull, stageDone } from "./build";

export function BuildPage() {
  const { id } = useParams({ from: "/models/builds/$id" });
  const build = useQuery(buildQuery(id));
  return (
    <>
      <Breadcrumbs mb="xs">
        <Anchor component={Link} to="/models">
          Models and builds
        </Anchor>
        <Text className="digest">{short(id)}…</Text>
      </Breadcrumbs>
      <Loaded query={build}>{(view) => <BuildView build={view} />}</Loaded>
    </>
  );
}

function BuildView({ build }: { build: Build }) {
  const measured = evaluation(build);
  const digest = bundle(build);
  return (
    <Stack gap="lg">
      <Heading
        title={`${build.model} for ${build.device_class}`}
        about={
          <>
            asked for <Ago at={build.created_at} />
            {digest && (
              <>
                , bundle <Digest value={digest} label="bundle digest" />
              </>
            )}
          </>
        }
      >
        <State state={build.state} />
      </Heading>
      <Standing build={build} />
      {measured && <Report measured={measured} />}
      <section>
        <Title order={4} mb="xs">
          Recipe
        </Title>
        <Code block>{build.recipe}</Code>
      </section>
    </Stack>
  );
}

function Standing({ build }: { build: Build }) {
  switch (build.state) {
    case "running":
      return (
        <Card withBorder>
          <Text fw={600} mb="xs">
            {build.stage}
          </Text>
          <Progress value={stageDone(build) ?? 100} animated={stageDone(build) === undefined} aria-label={build.stage} />
        </Card>
      );
    case "failed":
      return (
        <Alert color="red" title={`The forge could not make it: ${build.kind}`}>
          {build.detail}
        </Alert>
      );
    default:
      return null;
  }
}

function Report({ measured }: { measured: Evaluation }) {
  return (
    <>
      <Gate measured={measured} />
      <SimpleGrid cols={{ base: 2, md: 4 }}>
        <Card withBorder>
          <Figure
            name="Size"
            value={bytes(measured.bytes)}
            about={`${percent(shareOfFull(measured))} of the full model's ${bytes(measured.full_bytes)}`}
          />
          <Progress mt="sm" value={100 * shareOfFull(measured)} aria-label="Size as a share of the full model's" />
        </Card>
        <Card withBorder>
          <Figure
            name="Agreement"
            value={measured.agreement_iou.toFixed(4)}
            about={`mean IoU with the full model; clicks ${measured.agreement_iou_click.toFixed(4)}, boxes ${measured.agreement_iou_box.toFixed(4)}`}
          />
        </Card>
        <Card withBorder>
          <Figure
            name="Latency"
            value={milliseconds(measured.latency_ms_p50)}
            about={`median on ${measured.threads} threads; 95th percentile ${milliseconds(measured.latency_ms_p95)}`}
          />
        </Card>
        <Card withBorder>
          <Figure name="Peak memory" value={bytes(measured.peak_memory_bytes)} about="to load it and run it" />
        </Card>
      </SimpleGrid>
      <Table withRowBorders={false} w="auto" aria-label="More of the evaluation report">
        <Table.Tbody>
          <Row name="Parameters" value={count(measured.params)} />
          <Row name="Full model's latency" value={`${milliseconds(measured.full_latency_ms_p50)} median, in the same run`} />
          <Row name="Measured on" value={`${count(measured.pairs)} pairs of picture and prompt: ${measured.held_out}`} />
        </Table.Tbody>
      </Table>
      {measured.notes.length > 0 && (
        <section>
          <Title order={4} mb="xs">
            Notes
          </Title>
          <List size="sm">
            {measured.notes.map((note) => (
              <List.Item key={note}>{note}</List.Item>
            ))}
          </List>
        </section>
      )}
    </>
  );
}

function Gate({ measured }: { measured: Evaluation }) {
  if (measured.gate_reasons.length === 0) {
    return (
      <Alert color="leaf" variant="light" title="The gate passed">
        Every condition of the recipe holds: this build may be released.
      </Alert>
    );
  }
  return (
    <Alert color="red" variant="light" title="The gate did not pass: this build cannot be released">
      <List size="sm">
        {measured.gate_reasons.map((reason) => (
          <List.Item key={reason}>{reason}</List.Item>
        ))}
      </List>
    </Alert>
  );
}

function Row({ name, value }: { name: string; value: string }) {
  return (
    <Table.Tr>
      <Table.Td c="dimmed">{name}</Table.Td>
      <Table.Td>{value}</Table.Td>
    </Table.Tr>
  );
}
