import { Alert, Anchor, Badge, Breadcrumbs, Card, Code, Grid, Group, Stack, Table, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";

import type { Device, DeviceModel } from "../../api/client";
import { deviceLogQuery, deviceQuery } from "../../api/queries";
import { Log } from "../../ui/Log";
import { Prose } from "../../ui/Prose";
import { day, words } from "../../ui/format";
import { Ago, Digest, Facts, Heading, Nothing, Section, State } from "../../ui/parts";
import { Loaded } from "../../ui/states";
import { Barred, Via } from "./FleetPage";
import { LabelEditor } from "./LabelEditor";
import { inventoryFacts } from "./inventory";

export function DevicePage() {
  const { name } = useParams({ from: "/fleet/$name" });
  const device = useQuery(deviceQuery(name));
  return (
    <>
      <Breadcrumbs mb="xs">
        <Anchor component={Link} to="/fleet" size="sm">
          Fleet
        </Anchor>
        <Text size="sm">{name}</Text>
      </Breadcrumbs>
      <Loaded query={device}>{(view) => <DeviceView key={name} device={view} />}</Loaded>
    </>
  );
}

function DeviceView({ device }: { device: Device }) {
  const log = useQuery(deviceLogQuery(device.name));
  return (
    <>
      <Heading
        title={device.name}
        mark={<Barred device={device} />}
        about={`${device.role} of class ${device.class}`}
      />
      <ShutOut device={device} />
      <Grid gap="xl">
        <Grid.Col span={{ base: 12, lg: 8 }}>
          <Stack gap="xl">
            <Section title="Models">
              <Models models={device.models} />
            </Section>
            <Section title="Refused">
              <Refused device={device} />
            </Section>
            <Section title="What happened">
              <Loaded query={log}>{(events) => <Log events={events} />}</Loaded>
            </Section>
          </Stack>
        </Grid.Col>
        <Grid.Col span={{ base: 12, lg: 4 }}>
          <Stack gap="xl">
            <Section title="Who it is">
              <Identity device={device} />
            </Section>
            <Section title="Labels">
              <LabelEditor device={device} />
            </Section>
            {device.inventory && (
              <Section title="What it says about itself">
                <Card py="xs">
                  <Facts facts={inventoryFacts(device.inventory as Record<string, unknown>)} />
                </Card>
              </Section>
            )}
          </Stack>
        </Grid.Col>
      </Grid>
    </>
  );
}

/** Why no door opens to a device, and what to do. */
function ShutOut({ device }: { device: Device }) {
  const { standing, name } = device;
  if (standing.state === "enrolled") return null;
  const quarantined = standing.state === "quarantined";
  return (
    <Alert color="red" title={`${quarantined ? "In quarantine" : "Revoked"}: ${standing.reason}`} mb="lg">
      It was shut out <Ago at={standing.since} />; what it runs it goes on serving.{" "}
      {quarantined ? (
        <>
          Once only one agent holds its key: <Code>espalier device readmit {name}</Code>. If you do not know who has the other:{" "}
          <Code>espalier device revoke {name}</Code>, and enrol it anew.
        </>
      ) : (
        "It comes back under a new name, with a new key."
      )}
    </Alert>
  );
}

function Identity({ device }: { device: Device }) {
  const { not_after, key_id } = device.certificate;
  return (
    <Card py="xs">
      <Facts
        facts={[
          ["Via", <Via key="via" device={device} />],
          ["Last report", device.last_seen ? <Ago key="seen" at={device.last_seen} /> : "never"],
          ["Enrolled", <Ago key="enrolled" at={device.enrolled_at} />],
          ["Certificate", `valid until ${day(not_after)}`],
          ["Key", <Digest key="key" value={key_id} label="key id" />],
        ]}
      />
    </Card>
  );
}

function Models({ models }: { models: DeviceModel[] }) {
  if (models.length === 0) return <Text size="sm" c="dimmed">No model was rolled out to it yet.</Text>;
  return (
    <Table.ScrollContainer minWidth={640}>
      <Table className="data-table" aria-label="Models on this device">
        <Table.Thead>
          <Table.Tr>
            <Table.Th>Model</Table.Th>
            <Table.Th>State</Table.Th>
            <Table.Th>Serves release</Table.Th>
            <Table.Th>Keeps for a revert</Table.Th>
            <Table.Th>Wanted</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {models.map((model) => (
            <Table.Tr key={model.model}>
              <Table.Td fw={600}>{model.model}</Table.Td>
              <Table.Td>
                {model.phase ? <State state={model.phase} /> : <Nothing />}
                {model.failure && (
                  <Text size="xs" c="dimmed">
                    {words(model.failure)}
                  </Text>
                )}
              </Table.Td>
              <Release slot={model.active} />
              <Release slot={model.previous} />
              <Release slot={model.desired} />
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}

function Release({ slot }: { slot: { release_digest: string } | null | undefined }) {
  return <Table.Td>{slot ? <Digest value={slot.release_digest} label="release digest" /> : <Nothing />}</Table.Td>;
}

function Refused({ device }: { device: Device }) {
  if (device.refused.length === 0) return <Text size="sm" c="dimmed">It refused nothing.</Text>;
  return (
    <Stack gap="xs">
      {device.refused.map((refused) => (
        <Card key={`${refused.at} ${refused.attack} ${refused.detail}`} py="xs">
          <Group gap="sm" justify="space-between">
            <Badge color="orange">{words(refused.attack)}</Badge>
            <Text size="xs" c="dimmed">
              <Ago at={refused.at} />
            </Text>
          </Group>
          <Text size="sm" mt={4}>
            <Prose text={refused.detail} />
          </Text>
        </Card>
      ))}
    </Stack>
  );
}
