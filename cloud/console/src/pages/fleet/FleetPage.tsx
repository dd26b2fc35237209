import { Anchor, Badge, Card, Group, SegmentedControl, SimpleGrid, Text, TextInput, Tooltip } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useMemo, useState } from "react";

import type { Device } from "../../api/client";
import { devicesQuery } from "../../api/queries";
import { type Column, DataTable } from "../../ui/DataTable";
import { DeviceIcon, GatewayIcon, SearchIcon } from "../../ui/icons";
import { many, words } from "../../ui/format";
import { Ago, Command, Digest, Figure, Heading, Nothing, State } from "../../ui/parts";
import { Empty, Loaded } from "../../ui/states";
import { Labels } from "./Labels";
import { type Filter, matches, news, standing, summary } from "./fleet";

export function FleetPage() {
  const devices = useQuery(devicesQuery);
  return (
    <>
      <Heading title="Fleet" about="Gateways and devices, and what they signed that they run." />
      <Loaded query={devices}>
        {(fleet) => (fleet.length === 0 ? <NoDevices /> : <Fleet devices={fleet} now={devices.dataUpdatedAt} />)}
      </Loaded>
    </>
  );
}

function NoDevices() {
  return (
    <Empty title="No devices yet">
      <Command line="espalier claim create device.claim" />
      <div>makes the file that lets one in. Bring it to the device, and start the agent there:</div>
      <Command line="espalier-agent enrol --claim device.claim --name NAME --class CLASS" />
    </Empty>
  );
}

function Fleet({ devices, now }: { devices: Device[]; now: number }) {
  const [text, setText] = useState("");
  const [filter, setFilter] = useState<Filter>("all");
  const rows = useMemo(
    () => devices.filter((device) => matches(device, filter, text, now)),
    [devices, filter, text, now],
  );
  const columns = useMemo(() => columnsAt(now), [now]);
  const { total, gateways, behind, serving, attention } = summary(devices, now);
  return (
    <>
      <SimpleGrid cols={{ base: 2, sm: 4 }} mb="lg">
        <Fact name="Gateways and devices" value={total} about={`${many(gateways, "gateway")}, ${many(total - gateways, "device")}`} />
        <Fact name="Serving what is wanted" value={`${serving} of ${total}`} about="by their own signed reports" />
        <Fact name="Behind a gateway" value={behind} about={`${total - behind} speak with the cloud themselves`} />
        <Fact
          name="Need attention"
          value={attention}
          about={attention === 0 ? "nothing failed, nothing was refused" : "failed, silent, shut out, or refused something"}
        />
      </SimpleGrid>
      <Group mb="sm" justify="space-between">
        <TextInput
          placeholder="Name, class, gateway or label"
          aria-label="Search devices"
          leftSection={<SearchIcon />}
          value={text}
          onChange={(event) => setText(event.currentTarget.value)}
          w={300}
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
        <DataTable caption="Devices" columns={columns} rows={rows} rowKey={(device) => device.name} />
      )}
    </>
  );
}

function Fact({ name, value, about }: { name: string; value: string | number; about: string }) {
  return (
    <Card>
      <Figure name={name} value={value} about={about} />
    </Card>
  );
}

function columnsAt(now: number): Column<Device>[] {
  return [
    {
      id: "name",
      header: "Name",
      accessorFn: (device) => device.name,
      cell: ({ row: { original: device } }) => <Name device={device} />,
    },
    { id: "class", header: "Class", accessorFn: (device) => device.class },
    {
      id: "via",
      header: "Via",
      accessorFn: (device) => device.gateway ?? "cloud",
      cell: ({ row: { original: device } }) => <Via device={device} />,
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
      id: "refused",
      header: "Refused today",
      accessorFn: (device) => news(device, now).length,
      cell: ({ row: { original: device } }) => <Refused device={device} now={now} />,
    },
    {
      id: "labels",
      header: "Labels",
      enableSorting: false,
      accessorFn: (device) => Object.keys(device.labels).length,
      cell: ({ row: { original: device } }) => <Labels labels={device.labels} />,
    },
  ];
}

function Name({ device }: { device: Device }) {
  const Icon = device.role === "gateway" ? GatewayIcon : DeviceIcon;
  return (
    <Group gap={8} wrap="nowrap">
      <Tooltip label={device.role}>
        <span role="img" aria-label={device.role} style={{ display: "flex" }}>
          <Icon />
        </span>
      </Tooltip>
      <Anchor component={Link} to={`/fleet/${device.name}`} fw={600} inherit style={{ whiteSpace: "nowrap" }}>
        {device.name}
      </Anchor>
      <Barred device={device} />
    </Group>
  );
}

/** A device to which no door opens, and why; nothing for one that may speak. */
export function Barred({ device }: { device: Device }) {
  const { standing } = device;
  return standing.state === "enrolled" ? null : <State state={standing.state} title={standing.reason} />;
}

/** The way by which the cloud reaches a device. */
export function Via({ device }: { device: Device }) {
  if (device.gateway == null) return "cloud";
  return (
    <Anchor component={Link} to={`/fleet/${device.gateway}`} inherit>
      {device.gateway}
    </Anchor>
  );
}

function Serves({ device }: { device: Device }) {
  const served = device.models.filter((model) => model.active);
  if (served.length === 0) return <Nothing />;
  return served.map((model) => (
    <Group key={model.model} gap={6} wrap="nowrap">
      <Text span inherit>
        {model.model}
      </Text>
      {model.active && <Digest value={model.active.release_digest} label="release digest" />}
    </Group>
  ));
}

/** How often a device said no, and why the last time. */
function Refused({ device, now }: { device: Device; now: number }) {
  const refused = news(device, now);
  const [newest] = refused;
  if (!newest) return <Nothing />;
  return (
    <Tooltip label={`${words(newest.attack)}: ${newest.detail}`} multiline maw={420}>
      <Badge color="orange" tabIndex={0}>
        {refused.length === 1 ? words(newest.attack) : `${refused.length} times`}
      </Badge>
    </Tooltip>
  );
}
