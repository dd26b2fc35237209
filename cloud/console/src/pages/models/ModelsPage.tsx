import { Anchor, Card, Group, Progress, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";

import type { Build, Model, ModelVersion, Release } from "../../api/client";
import { buildsQuery, modelVersionsQuery, modelsQuery, releasesQuery } from "../../api/queries";
import { type Column, DataTable } from "../../ui/DataTable";
import { bytes, milliseconds, percent, words } from "../../ui/format";
import { Ago, Command, Digest, Heading, Nothing, Section, State } from "../../ui/parts";
import { Empty, Loaded } from "../../ui/states";
import { evaluation, shareOfFull, stageDone, trouble } from "./build";

export function ModelsPage() {
  const models = useQuery(modelsQuery);
  const builds = useQuery(buildsQuery);
  const releases = useQuery(releasesQuery);
  return (
    <>
      <Heading
        title="Models and builds"
        about="Full models, the measured builds that the forge made of them, and the releases that devices take."
      />
      <Stack gap="xl">
        <Section title="Full models">
          <Loaded query={models}>{(rows) => <Models models={rows} />}</Loaded>
        </Section>
        <Section title="Builds">
          <Loaded query={builds}>{(rows) => <Builds builds={rows} />}</Loaded>
        </Section>
        <Section title="Releases">
          <Loaded query={releases}>{(rows) => <Releases releases={rows} />}</Loaded>
        </Section>
      </Stack>
    </>
  );
}

function Models({ models }: { models: Model[] }) {
  if (models.length === 0) {
    return (
      <Empty title="No models yet">
        <Command line="espalier model import FOLDER" />
        <div>brings one in: ONNX graphs with their model.json.</div>
      </Empty>
    );
  }
  return (
    <Stack gap="sm">
      {models.map((model) => (
        <Card key={model.name}>
          <Group gap="sm" align="baseline">
            <Text fw={650}>{model.name}</Text>
            <Text size="sm" c="dimmed">
              {words(model.task)}
            </Text>
          </Group>
          <Versions model={model.name} />
        </Card>
      ))}
    </Stack>
  );
}

function Versions({ model }: { model: string }) {
  const versions = useQuery(modelVersionsQuery(model));
  return (
    <Loaded query={versions}>
      {(rows) => (
        <DataTable caption={`Versions of ${model}`} columns={VERSION_COLUMNS} rows={rows} rowKey={(version) => version.id} />
      )}
    </Loaded>
  );
}

const VERSION_COLUMNS: Column<ModelVersion>[] = [
  {
    id: "id",
    header: "Version",
    accessorFn: (version) => version.id,
    cell: ({ row: { original: version } }) => <Digest value={version.id} label="version" />,
  },
  { id: "summary", header: "Summary", accessorFn: (version) => version.summary },
  {
    id: "size",
    header: "Size",
    numeric: true,
    accessorFn: (version) => version.total_bytes,
    cell: ({ row: { original: version } }) => bytes(version.total_bytes),
  },
  {
    id: "files",
    header: "Files",
    accessorFn: (version) => version.files.map((file) => file.path).join(", "),
  },
  {
    id: "imported",
    header: "Imported",
    accessorFn: (version) => version.created_at,
    cell: ({ row: { original: version } }) => <Ago at={version.created_at} />,
  },
];

function Builds({ builds }: { builds: Build[] }) {
  if (builds.length === 0) {
    return (
      <Empty title="No builds yet">
        <Command line="espalier build create --model NAME --class CLASS --recipe FILE" />
        <div>asks the forge for one.</div>
      </Empty>
    );
  }
  return <DataTable caption="Builds" columns={BUILD_COLUMNS} rows={builds} rowKey={(build) => build.id} />;
}

const BUILD_COLUMNS: Column<Build>[] = [
  {
    id: "id",
    header: "Build",
    accessorFn: (build) => `${build.model} ${build.device_class}`,
    cell: ({ row: { original: build } }) => (
      <Group gap={8} wrap="nowrap">
        <Anchor component={Link} to={`/models/builds/${build.id}`} fw={600} inherit style={{ whiteSpace: "nowrap" }}>
          {build.model} for {build.device_class}
        </Anchor>
        <Digest value={build.id} label="build id" />
      </Group>
    ),
  },
  {
    id: "state",
    header: "State",
    accessorFn: (build) => build.state,
    cell: ({ row: { original: build } }) => <Standing build={build} />,
  },
  {
    id: "size",
    header: "Size, of the full model",
    numeric: true,
    accessorFn: (build) => evaluation(build)?.bytes,
    cell: ({ row: { original: build } }) => <Size build={build} />,
  },
  {
    id: "latency",
    header: "Latency (median)",
    numeric: true,
    accessorFn: (build) => evaluation(build)?.latency_ms_p50,
    cell: ({ row: { original: build } }) => {
      const measured = evaluation(build);
      return measured ? milliseconds(measured.latency_ms_p50) : <Nothing />;
    },
  },
  {
    id: "agreement",
    header: "Agreement",
    numeric: true,
    accessorFn: (build) => evaluation(build)?.agreement_iou,
    cell: ({ row: { original: build } }) => evaluation(build)?.agreement_iou.toFixed(4) ?? <Nothing />,
  },
  {
    id: "created",
    header: "Created",
    accessorFn: (build) => build.created_at,
    cell: ({ row: { original: build } }) => <Ago at={build.created_at} />,
  },
];

function Standing({ build }: { build: Build }) {
  const done = stageDone(build);
  return (
    <>
      <State state={build.state} title={trouble(build)} />
      {build.state === "running" && (
        <Text size="xs" c="dimmed">
          {build.stage}
        </Text>
      )}
      {done !== undefined && <Progress value={done} size="xs" mt={4} aria-label="Progress of the stage" />}
    </>
  );
}

function Size({ build }: { build: Build }) {
  const measured = evaluation(build);
  if (!measured) return <Nothing />;
  return (
    <>
      {bytes(measured.bytes)}{" "}
      <Text span inherit c="dimmed">
        {percent(shareOfFull(measured))}
      </Text>
    </>
  );
}

function Releases({ releases }: { releases: Release[] }) {
  if (releases.length === 0) {
    return (
      <Empty title="No releases yet">
        <Command line="espalier release create BUILD…" />
        <div>drafts one of builds that passed their gates.</div>
      </Empty>
    );
  }
  return <DataTable caption="Releases" columns={RELEASE_COLUMNS} rows={releases} rowKey={(release) => release.id} />;
}

const RELEASE_COLUMNS: Column<Release>[] = [
  {
    id: "digest",
    header: "Digest",
    accessorFn: (release) => release.digest,
    cell: ({ row: { original: release } }) => <Digest value={release.digest} label="release digest" />,
  },
  { id: "model", header: "Model", accessorFn: (release) => release.model },
  { id: "counter", header: "Number", numeric: true, accessorFn: (release) => release.counter },
  {
    id: "state",
    header: "State",
    accessorFn: (release) => release.state,
    cell: ({ row: { original: release } }) => <State state={release.state} title={signature(release)} />,
  },
  {
    id: "classes",
    header: "Classes",
    accessorFn: (release) => release.builds.map((build) => build.device_class).join(", "),
  },
  {
    id: "created",
    header: "Created",
    accessorFn: (release) => release.created_at,
    cell: ({ row: { original: release } }) => <Ago at={release.created_at} />,
  },
  {
    id: "next",
    header: "Next",
    enableSorting: false,
    accessorFn: nextCommand,
    cell: ({ row: { original: release } }) => <Command line={nextCommand(release)} />,
  },
];

/** What an operator does next with a release: keys are on their machine, so it is not done from here. */
function nextCommand(release: Release): string {
  return release.state === "draft" ? `espalier release sign ${release.id}` : `espalier rollout start ${release.id}`;
}

function signature(release: Release): string {
  if (release.state === "draft") return "Not signed; no device would take it.";
  return release.trust === "development" ? "Signed with development keys." : "Signed with production keys.";
}
