import { Badge, Card, Group, SegmentedControl, Stack, Table, Text } from "@mantine/core";

import { count, milliseconds } from "../../ui/format";
import { Figure } from "../../ui/parts";
import type { Answer } from "./answer";

type Props = {
  timed: { answer: Answer; roundTrip: number };
  shown: number;
  onShow: (place: number) => void;
};

/** What came back: where it was computed, how long each part took, how sure the model is. */
export function Verdict({ timed: { answer, roundTrip }, shown, onShow }: Props) {
  const mask = answer.masks[shown] ?? answer.masks[0];
  const { tier, name } = answer.computedOn;
  return (
    <Stack aria-live="polite">
      <Card withBorder>
        <Group justify="space-between" align="flex-start">
          <Figure name="Computed on" value={tier} about={name} />
          {answer.embeddingCached && <Badge variant="light">embedding cached</Badge>}
        </Group>
        <Table withRowBorders={false} mt="sm" verticalSpacing={3} aria-label="Latency">
          <Table.Tbody>
            <Row name="read the picture" ms={answer.latency.decode} />
            <Row name="encode" ms={answer.latency.encode} />
            <Row name="prompt" ms={answer.latency.prompt} />
            <Row name="in all, there" ms={answer.latency.total} strong />
            <Row name="and back here" ms={roundTrip} />
          </Table.Tbody>
        </Table>
      </Card>
      {mask ? (
        <Card withBorder>
          <Group grow>
            <Figure name="Score" value={mask.score.toFixed(3)} about="the model's own estimate" />
            <Figure name="Area" value={count(mask.area)} about="pixels" />
          </Group>
          {answer.masks.length > 1 && (
            <SegmentedControl
              mt="md"
              fullWidth
              aria-label="Which mask"
              value={String(shown)}
              onChange={(value) => onShow(Number(value))}
              data={answer.masks.map((_, place) => ({ value: String(place), label: `Mask ${place + 1}` }))}
            />
          )}
        </Card>
      ) : (
        <Text c="dimmed">The model found nothing there.</Text>
      )}
    </Stack>
  );
}

function Row({ name, ms, strong = false }: { name: string; ms: number; strong?: boolean }) {
  return (
    <Table.Tr fw={strong ? 650 : 400}>
      <Table.Td px={0} {...(!strong && { c: "dimmed" })}>
        {name}
      </Table.Td>
      <Table.Td px={0} ta="right">
        {milliseconds(ms)}
      </Table.Td>
    </Table.Tr>
  );
}
