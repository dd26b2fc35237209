import { Group, Text } from "@mantine/core";

/** The mark and the name. */
export function Brand({ size = 28 }: { size?: number }) {
  return (
    <Group gap={10} wrap="nowrap">
      <img src="/espalier.svg" width={size} height={size} alt="" />
      <Text fw={700} fz={size * 0.68} lh={1}>
        Espalier
      </Text>
    </Group>
  );
}
