import { Anchor, Breadcrumbs, Card, Code, Group, SimpleGrid, Stack, Table, Text, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";

import type { Device, DeviceModel } from "../../api/client";
import { deviceQuery } from "../../api/queries";
import { Ago, Digest, Figure, Heading, Nothing, State } from "../../ui/parts";
import { words } from "../../ui/format";
import { Loaded } from "../../ui/states";
import { LabelEditor } from "./LabelEditor";

export function DevicePage() {
  const { name } = useParams({ from: "/fleet/$name" });
  const device = useQuery(deviceQuery(name));
  return (
    <>
      <Breadcrumbs mb="xs">
        <Anchor component={Link} to="/fleet">
          Fleet
        </Anchor>
        <Text>{name}</Text>
      </Breadcrumbs>
      <Loaded query={device}>{(view) => <DeviceFacts device={view} />}</Loaded>
    </>
  );
}

function DeviceFacts({ device }: { device: Device }) {
  return (
    <Stack gap="lg">
      <Heading title={device.name} about={`${device.role} of class ${device.class}`} />
      <Card withBorder>
        <SimpleGrid cols={{ base: 2, md: 4 }}>
          <Figure name="Via" value={device.gateway ?? "cloud"} />
          <Figure name="Last report" value={device.last_seen ? <Ago at={device.last_seen} /> : "never"} />
          <Figure name="Enrolled" value={<Ago at={device.enrolled_at} />} />
          <Figure
            name="Certificate"
            value={device.certificate.revoked ? <State state="refused" title="revoked" /> : "valid"}
            about={`until ${new Date(device.certificate.not_after).toLocaleDateString()}`}
          />
        </SimpleGrid>
      </Card>
      <section>
        <Title order={4} mb="xs">
          Models
        </Title>
        <Models models={device.models} />
      </section>
      <section>
        <Title order={4} mb="xs">
          Labels
        </Title>
        <LabelEditor device={device} />
      </section>
      <section>
        <Title order={4} mb="xs">
          Refused
        </Title>
        <Refused device={device} />
      </section>
      {device.inventory && (
        <section>
          <Title order={4} mb="xs">
            What it says about itself
          </Title>
          <Inventory inventory={device.inventory as Record<string, unknown>} />
        </section>
      )}
    </Stack>
  );
}

function Models({ models }: { models: DeviceModel[] }) {
  if (models.length === 0) return <Text c="dimmed">No model was rolled out to it yet.</Text>;
  return (
    <Table.ScrollContainer minWidth={640}>
      <Table aria-label="Models on this device">
        <Table.Thead>
          <Table.Tr>
            <Table.Th>Model</Table.Th>
            <Table.Th>State</Table.Th>
            <Table.Th>Serves</Table.Th>
            <Table.Th>Keeps for a revert</Table.Th>
            <Table.Th>Wanted</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {models.map((model) => (
            <Table.Tr key={model.model}>
              <Table.Td fw={600}>{model.model}</Table.Td>
              <Table.Td>
                {model.phase ? <State state={model.phase} title={model.failure ?? undefined} /> : <Nothing />}
              </Table.Td>
              <Table.Td>{model.active ? <Digest value={model.active.release_digest} /> : <Nothing />}</Table.Td>
              <Table.Td>{model.previous ? <Digest value={model.previous.release_digest} /> : <Nothing />}</Table.Td>
              <Table.Td>{model.desired ? <Digest value={model.desired.release_digest} /> : <Nothing />}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}

function Refused({ device }: { device: Device }) {
  if (device.refused.length === 0) return <Text c="dimmed">It refused nothing.</Text>;
  return (
    <Stack gap="xs">
      {device.refused.map((refused, place) => (
        <Group key={place} gap="sm" align="flex-start" wrap="nowrap">
          <State state="refused" />
          <div>
            <Text size="sm" fw={600}>
              {words(refused.attack)}
            </Text>
            <Text size="sm" c="dimmed">
              {refused.detail} (<Ago at={refused.at} />)
            </Text>
          </div>
        </Group>
      ))}
    </Stack>
  );
}

function Inventory({ inventory }: { inventory: Record<string, unknown> }) {
  return (
    <Table withRowBorders={false} w="auto" verticalSpacing={4}>
      <Table.Tbody>
        {Object.entries(inventory).map(([name, value]) => (
          <Table.Tr key={name}>
            <Table.Td c="dimmed">{words(name)}</Table.Td>
            <Table.Td>
              <Code>{typeof value === "string" ? value : JSON.stringify(value)}</Code>
            </Table.Td>
          </Table.Tr>
        ))}
      </Table.Tbody>
    </Table>
  );
}
