import { Badge, Group } from "@mantine/core";

import { Nothing } from "../../ui/parts";

/** Labels as `name=value`. */
export function Labels({ labels }: { labels: Record<string, string> }) {
  const pairs = Object.entries(labels);
  if (pairs.length === 0) return <Nothing />;
  return (
    <Group gap={4}>
      {pairs.map(([name, value]) => (
        <Badge key={name} variant="default" tt="none" radius="sm" fw={500}>
          {value === "" ? name : `${name}=${value}`}
        </Badge>
      ))}
    </Group>
  );
}
