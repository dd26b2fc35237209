import { Badge, Card, Group, SegmentedControl, Stack, Text } from "@mantine/core";
import type { ReactNode } from "react";

import { count, milliseconds } from "../../ui/format";
import { Digest, Facts, Figure } from "../../ui/parts";
import type { Answer } from "./answer";

type Props = {
  timed: { answer: Answer; roundTrip: number };
  shown: number;
  onShow: (place: number) => void;
};

/** What came back: how sure the model is, where it was computed and by which bytes, and where the time went. */
export function Verdict({ timed: { answer, roundTrip }, shown, onShow }: Props) {
  const mask = answer.masks[shown] ?? answer.masks[0];
  return (
    <Stack aria-live="polite">
      {mask ? (
        <Card>
          <Group grow align="flex-start">
            <Figure name="Score" value={mask.score.toFixed(3)} about="the model's own estimate" />
            <Figure name="Latency" value={milliseconds(answer.latency.total)} about={`${milliseconds(roundTrip)} with the way there and back`} />
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
      <Card py="xs">
        <Facts facts={factsOf(answer, mask?.area)} />
      </Card>
    </Stack>
  );
}

function factsOf(answer: Answer, area: number | undefined): [string, ReactNode][] {
  const { computedOn, latency, embeddingCached } = answer;
  const known = embeddingCached && (
    <Badge ml={8} size="sm">
      known already
    </Badge>
  );
  return [
    ["Computed on", `${computedOn.tier}: ${computedOn.name}`],
    ...authorFacts(answer.by),
    ["Area", area === undefined ? "–" : `${count(area)} pixels`],
    ["Reading the picture", milliseconds(latency.decode)],
    [
      "Encoding it",
      <span key="encode">
        {milliseconds(latency.encode)}
        {known}
      </span>,
    ],
    ["Answering the prompt", milliseconds(latency.prompt)],
  ];
}

function authorFacts(by: Answer["by"]): [string, ReactNode][] {
  const digest = <Digest key="digest" value={by.digest} />;
  switch (by.kind) {
    case "build":
      return [
        ["By the build", digest],
        ["Of release", <Digest key="release" value={by.release} label="release digest" />],
      ];
    case "full-model":
      return [
        ["By the full model", digest],
        ["Of version", by.version ? <Digest key="version" value={by.version} label="version" /> : "not in the registry"],
      ];
  }
}
