import { Group, Text } from "@mantine/core";

import type { PhaseCounts } from "../../api/client";
import { type Segment, segments } from "./rollout";

type Props = { name: string; counts: PhaseCounts; width?: number; legend?: boolean };

/** Those that wait are drawn like the empty bar, so that what is coloured is what has happened. */
function colorOf({ color }: Segment): string {
  return color === "gray" ? "var(--waiting)" : `var(--mantine-color-${color}-filled)`;
}

/** Devices by phase as one bar; the numbers are also there as text. */
export function StageBar({ name, counts, width, legend = false }: Props) {
  const parts = segments(counts);
  const said = parts.map((part) => `${part.count} ${part.name}`).join(", ") || "no devices";
  return (
    <div style={{ width: width ?? "100%" }}>
      <div className="stage-bar" role="img" aria-label={`${name}: ${said}`}>
        {parts.map((part) => (
          <span
            key={part.name}
            style={{
              width: `${(100 * part.count) / Math.max(counts.total, 1)}%`,
              background: colorOf(part),
            }}
          />
        ))}
      </div>
      {legend && (
        <Group gap="md" mt={6}>
          {parts.map((part) => (
            <Group key={part.name} gap={6}>
              <span
                aria-hidden="true"
                style={{ width: 9, height: 9, borderRadius: 3, background: colorOf(part) }}
              />
              <Text size="xs" c="dimmed">
                {part.count} {part.name}
              </Text>
            </Group>
          ))}
        </Group>
      )}
    </div>
  );
}
