import { Alert, Anchor, Breadcrumbs, Card, Code, Grid, List, Progress, SimpleGrid, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import type { ReactNode } from "react";

import type { Build, Evaluation } from "../../api/client";
import { buildQuery } from "../../api/queries";
import { Prose } from "../../ui/Prose";
import { bytes, count, milliseconds, percent, short, words } from "../../ui/format";
import { Ago, Digest, Facts, Figure, Heading, Section, State } from "../../ui/parts";
import { Loaded } from "../../ui/states";
import { bundle, evaluation, shareOfFull, stageDone } from "./build";

export function BuildPage() {
  const { id } = useParams({ from: "/models/builds/$id" });
  const build = useQuery(buildQuery(id));
  return (
    <>
      <Breadcrumbs mb="xs">
        <Anchor component={Link} to="/models" size="sm">
          Models and builds
        </Anchor>
        <Text size="sm" ff="monospace">
          {short(id)}…
        </Text>
      </Breadcrumbs>
      <Loaded query={build}>{(view) => <BuildView build={view} />}</Loaded>
    </>
  );
}

function BuildView({ build }: { build: Build }) {
  const measured = evaluation(build);
  return (
    <>
      <Heading
        title={`${build.model} for ${build.device_class}`}
        mark={<State state={build.state} />}
        about={
          <>
            asked for <Ago at={build.created_at} />
          </>
        }
      />
      <Stack gap="lg">
        <Standing build={build} />
        {measured && <Gate measured={measured} />}
        {measured && <Measured measured={measured} />}
        <Grid gap="xl">
          <Grid.Col span={{ base: 12, lg: 6 }}>
            <Section title="Recipe">
              <Code block>{build.recipe.trim()}</Code>
            </Section>
          </Grid.Col>
          {measured && (
            <Grid.Col span={{ base: 12, lg: 6 }}>
              <Section title="Evaluation report">
                <Report build={build} measured={measured} />
              </Section>
            </Grid.Col>
          )}
        </Grid>
      </Stack>
    </>
  );
}

function Standing({ build }: { build: Build }) {
  switch (build.state) {
    case "queued":
      return <Text c="dimmed">It waits for the forge, which makes one build after the other.</Text>;
    case "running":
      return (
        <Card>
          <Text fw={600} mb="xs">
            {words(build.stage)}
          </Text>
          <Progress value={stageDone(build) ?? 100} animated={stageDone(build) === undefined} aria-label={build.stage} />
        </Card>
      );
    case "failed":
      return (
        <Alert color="red" title={`The forge could not make it: ${words(build.kind)}`}>
          <Prose text={build.detail} />
        </Alert>
      );
    default:
      return null;
  }
}

function Gate({ measured }: { measured: Evaluation }) {
  if (measured.gate_reasons.length === 0) {
    return (
      <Alert color="leaf" title="The gate passed">
        Every condition of the recipe holds: this build may be released.
      </Alert>
    );
  }
  return (
    <Alert color="red" title="The gate did not pass: this build cannot be released">
      <List size="sm">
        {measured.gate_reasons.map((reason) => (
          <List.Item key={reason}>
            <Prose text={reason} />
          </List.Item>
        ))}
      </List>
    </Alert>
  );
}

function Measured({ measured }: { measured: Evaluation }) {
  const threads = measured.threads === 1 ? "1 thread" : `${measured.threads} threads`;
  return (
    <SimpleGrid cols={{ base: 2, md: 4 }}>
      <Card>
        <Figure
          name="Size"
          value={bytes(measured.bytes)}
          about={`${percent(shareOfFull(measured))} of the full model's ${bytes(measured.full_bytes)}`}
        />
        <Progress mt="sm" value={100 * shareOfFull(measured)} aria-label="Size as a share of the full model's" />
      </Card>
      <Card>
        <Figure
          name="Agreement with the full model"
          value={measured.agreement_iou.toFixed(4)}
          about={`mean IoU; clicks ${measured.agreement_iou_click.toFixed(4)}, boxes ${measured.agreement_iou_box.toFixed(4)}`}
        />
        <Progress mt="sm" value={100 * measured.agreement_iou} aria-label="Agreement with the full model" />
      </Card>
      <Card>
        <Figure
          name="Latency"
          value={milliseconds(measured.latency_ms_p50)}
          about={`median on ${threads}; the full model's is ${milliseconds(measured.full_latency_ms_p50)}`}
        />
        <Progress
          mt="sm"
          value={(100 * measured.latency_ms_p50) / Math.max(measured.full_latency_ms_p50, measured.latency_ms_p50)}
          aria-label="Latency as a share of the full model's"
        />
      </Card>
      <Card>
        <Figure name="Peak memory" value={bytes(measured.peak_memory_bytes)} about="to load it and run it" />
      </Card>
    </SimpleGrid>
  );
}

function Report({ build, measured }: { build: Build; measured: Evaluation }) {
  const digest = bundle(build);
  const facts: [string, ReactNode][] = [
    ["Parameters", count(measured.params)],
    ["Latency, 95th percentile", milliseconds(measured.latency_ms_p95)],
    ["Pairs of picture and prompt", count(measured.pairs)],
    ["Held out", measured.held_out],
    ["Full model's version", <Digest key="version" value={build.model_version} label="version" />],
  ];
  if (digest) facts.push(["Bundle", <Digest key="bundle" value={digest} label="bundle digest" />]);
  return (
    <Card py="xs">
      <Facts facts={facts} />
      {measured.notes.length > 0 && (
        <List size="sm" mt="sm" c="dimmed">
          {measured.notes.map((note) => (
            <List.Item key={note}>{note}</List.Item>
          ))}
        </List>
      )}
    </Card>
  );
}
