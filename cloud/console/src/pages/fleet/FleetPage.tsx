import { Anchor, Badge, Card, Code, Group, SegmentedControl, SimpleGrid, Text, TextInput, Tooltip } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useMemo, useState } from "react";

import type { Device } from "../../api/client";
import { devicesQuery } from "../../api/queries";
import { type Column, DataTable } from "../../ui/DataTable";
import { DeviceIcon, GatewayIcon, SearchIcon } from "../../ui/icons";
import { Ago, Digest, Figure, Heading, Nothing, State } from "../../ui/parts";
import { Empty, Loaded } from "../../ui/states";
import { Labels } from "./Labels";
import { type Filter, matches, standing, summary } from "./fleet";

export function FleetPage() {
  const devices = useQuery(devicesQuery);
  return (
    <>
      <Heading title="Fleet" about="Gateways and devices, and what they signed that they run." />
      <Loaded query={devices}>{(fleet) => (fleet.length === 0 ? <NoDevices /> : <Fleet devices={fleet} />)}</Loaded>
    </>
  );
}

function NoDevices() {
  return (
    <Empty title="No devices yet">
      <Code>espalier claim create device.claim</Code> makes the file that lets one in; start its agent with it.
    </Empty>
  );
}

function Fleet({ devices }: { devices: Device[] }) {
  const [text, setText] = useState("");
  const [filter, setFilter] = useState<Filter>("all");
  const rows = useMemo(() => devices.filter((device) => matches(device, filter, text)), [devices, filter, text]);
  const { total, gateways, serving, failing } = summary(devices);
  return (
    <>
      <SimpleGrid cols={{ base: 2, sm: 4 }} mb="lg">
        <Fact name="Devices" value={total} />
        <Fact name="Gateways" value={gateways} />
        <Fact name="Serving what is wanted" value={`${serving} of ${total}`} />
        <Fact name="Need attention" value={failing} />
      </SimpleGrid>
      <Group mb="sm" justify="space-between">
        <TextInput
          placeholder="Name, class or label"
          aria-label="Search devices"
          leftSection={<SearchIcon />}
          value={text}
          onChange={(event) => setText(event.currentTarget.value)}
          w={280}
        />
        <SegmentedControl
          value={filter}
          onChange={(value) => setFilter(value as Filter)}
          aria-label="Which devices"
          data={[
            { value: "all", label: "All" },
            { value: "gateway", label: "Gateways" },
            { value: "device", label: "Devices" },
            { value: "attention", label: "Need attention" },
          ]}
        />
      </Group>
      {rows.length === 0 ? (
        <Empty title="No device matches">Change the search or the selection above.</Empty>
      ) : (
        <DataTable caption="Devices" columns={COLUMNS} rows={rows} rowKey={(device) => device.name} />
      )}
    </>
  );
}

function Fact({ name, value }: { name: string; value: string | number }) {
  return (
    <Card withBorder padding="md">
      <Figure name={name} value={value} />
    </Card>
  );
}

const COLUMNS: Column<Device>[] = [
  {
    id: "name",
    header: "Name",
    accessorFn: (device) => device.name,
    cell: ({ row: { original: device } }) => (
      <Group gap={8} wrap="nowrap">
        <Tooltip label={device.role}>
          <span aria-label={device.role}>{device.role === "gateway" ? <GatewayIcon /> : <DeviceIcon />}</span>
        </Tooltip>
        <Anchor component={Link} to={`/fleet/${device.name}`} fw={600}>
          {device.name}
        </Anchor>
        {device.certificate.revoked && <Badge color="red">revoked</Badge>}
      </Group>
    ),
  },
  { id: "class", header: "Class", accessorFn: (device) => device.class },
  {
    id: "via",
    header: "Via",
    accessorFn: (device) => device.gateway ?? "cloud",
  },
  {
    id: "state",
    header: "State",
    accessorFn: (device) => standing(device).state,
    cell: ({ row: { original: device } }) => {
      const { state, reason } = standing(device);
      return state === "none" ? <Nothing /> : <State state={state} title={reason} />;
    },
  },
  {
    id: "release",
    header: "Serves release",
    accessorFn: (device) => device.models[0]?.active?.release_digest,
    cell: ({ row: { original: device } }) => <Serves device={device} />,
  },
  {
    id: "seen",
    header: "Last report",
    accessorFn: (device) => device.last_seen ?? "",
    cell: ({ row: { original: device } }) => (device.last_seen ? <Ago at={device.last_seen} /> : <Nothing />),
  },
  {
    id: "labels",
    header: "Labels",
    enableSorting: false,
    accessorFn: (device) => Object.keys(device.labels).length,
    cell: ({ row: { original: device } }) => <Labels labels={device.labels} />,
  },
];

function Serves({ device }: { device: Device }) {
  const served = device.models.filter((model) => model.active);
  if (served.length === 0) return <Nothing />;
  return served.map((model) => (
    <Group key={model.model} gap={6} wrap="nowrap">
      <Text size="sm">{model.model}</Text>
      {model.active && <Digest value={model.active.release_digest} label="release digest" />}
    </Group>
  ));
}
