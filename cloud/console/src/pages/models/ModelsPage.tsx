import { Accordion, Anchor, Code, Group, Progress, Stack, Text, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";

import type { Build, Model, ModelVersion, Release } from "../../api/client";
import { buildsQuery, modelVersionsQuery, modelsQuery, releasesQuery } from "../../api/queries";
import { type Column, DataTable } from "../../ui/DataTable";
import { bytes, milliseconds, percent, short } from "../../ui/format";
import { Ago, Digest, Heading, Nothing, State } from "../../ui/parts";
import { Empty, Loaded } from "../../ui/states";
import { evaluation, shareOfFull, stageDone } from "./build";

export function ModelsPage() {
  const models = useQuery(modelsQuery);
  const builds = useQuery(buildsQuery);
  const releases = useQuery(releasesQuery);
  return (
    <Stack gap="xl">
      <section>
        <Heading title="Models" about="Full models, from which builds for classes of devices are made." />
        <Loaded query={models}>{(rows) => <Models models={rows} />}</Loaded>
      </section>
      <section>
        <Title order={3} mb="xs">
          Builds
        </Title>
        <Loaded query={builds}>{(rows) => <Builds builds={rows} />}</Loaded>
      </section>
      <section>
        <Title order={3} mb="xs">
          Releases
        </Title>
        <Loaded query={releases}>{(rows) => <Releases releases={rows} />}</Loaded>
      </section>
    </Stack>
  );
}

function Models({ models }: { models: Model[] }) {
  if (models.length === 0) {
    return (
      <Empty title="No models yet">
        <Code>espalier model import FOLDER</Code> brings one in.
      </Empty>
    );
  }
  return (
    <Accordion variant="separated" defaultValue={models.length === 1 ? (models[0]?.name ?? null) : null}>
      {models.map((model) => (
        <Accordion.Item key={model.name} value={model.name}>
          <Accordion.Control>
            <Group gap="sm">
              <Text fw={650}>{model.name}</Text>
              <Text size="sm" c="dimmed">
                {model.task}
              </Text>
            </Group>
          </Accordion.Control>
          <Accordion.Panel>
            <Versions model={model.name} />
          </Accordion.Panel>
        </Accordion.Item>
      ))}
    </Accordion>
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
        <Code>espalier build create --model NAME --class CLASS --recipe FILE</Code> asks the forge for one.
      </Empty>
    );
  }
  return <DataTable caption="Builds" columns={BUILD_COLUMNS} rows={builds} rowKey={(build) => build.id} />;
}

const BUILD_COLUMNS: Column<Build>[] = [
  {
    id: "id",
    header: "Build",
    accessorFn: (build) => build.id,
    cell: ({ row: { original: build } }) => (
      <Anchor component={Link} to={`/models/builds/${build.id}`} className="digest" fw={600}>
        {short(build.id)}…
      </Anchor>
    ),
  },
  { id: "model", header: "Model", accessorFn: (build) => build.model },
  { id: "class", header: "Class", accessorFn: (build) => build.device_class },
  {
    id: "state",
    header: "State",
    accessorFn: (build) => build.state,
    cell: ({ row: { original: build } }) => <Standing build={build} />,
  },
  {
    id: "size",
    header: "Size",
    accessorFn: (build) => evaluation(build)?.bytes,
    cell: ({ row: { original: build } }) => <Size build={build} />,
  },
  {
    id: "latency",
    header: "Latency (median)",
    accessorFn: (build) => evaluation(build)?.latency_ms_p50,
    cell: ({ row: { original: build } }) => {
      const measured = evaluation(build);
      return measured ? milliseconds(measured.latency_ms_p50) : <Nothing />;
    },
  },
  {
    id: "agreement",
    header: "Agreement",
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
      <State state={build.state} title={build.state === "failed" ? build.detail : undefined} />
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
    <Text size="sm">
      {bytes(measured.bytes)}{" "}
      <Text span size="xs" c="dimmed">
        {percent(shareOfFull(measured))} of full
      </Text>
    </Text>
  );
}

function Releases({ releases }: { releases: Release[] }) {
  if (releases.length === 0) {
    return (
      <Empty title="No releases yet">
        <Code>espalier release create BUILD…</Code> drafts one, <Code>espalier release sign</Code> signs it.
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
  { id: "counter", header: "Counter", accessorFn: (release) => release.counter },
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
];

function signature(release: Release): string {
  if (release.state === "draft") return "Not signed; no device would take it.";
  return release.trust === "development" ? "Signed with development keys." : "Signed with production keys.";
}
