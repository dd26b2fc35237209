import { Button, Card, FileButton, Grid, Group, SegmentedControl, Select, Stack, Text } from "@mantine/core";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";

import { api, type Model, view } from "../../api/client";
import { modelsQuery } from "../../api/queries";
import { Command, Heading } from "../../ui/parts";
import { Empty, Failed, Loaded } from "../../ui/states";
import { DropZone } from "./DropZone";
import { PromptCanvas } from "./PromptCanvas";
import { Verdict } from "./Verdict";
import { type Answer, readAnswer } from "./answer";
import { forget, load, type Picture } from "./picture";
import { agentCommand, asks, type Mode, type Prompt } from "./prompt";
import { drawScene } from "./scene";

const TASK = "promptable-segmentation";
const NOTHING_ASKED: Prompt = { points: [] };

export function SegmentPage() {
  const models = useQuery(modelsQuery);
  return (
    <>
      <Heading
        title="Try a picture"
        about="Click an object, or drag a box around it: the cloud's full model says which pixels are part of it."
      />
      <Loaded query={models}>
        {(rows) => {
          const served = rows.filter((model) => model.task === TASK);
          return served.length === 0 ? <NoModel /> : <Bench models={served} />;
        }}
      </Loaded>
    </>
  );
}

function NoModel() {
  return (
    <Empty title="No model to try">
      <Command line="espalier model import FOLDER" />
      <div>brings in one that segments pictures.</div>
    </Empty>
  );
}

/** An answer with the time that it took from here. */
type Timed = { answer: Answer; roundTrip: number };
type Question = { model: string; picture: Picture; prompt: Prompt };

async function segment({ model, picture, prompt }: Question): Promise<Timed> {
  const begun = performance.now();
  const answer = await view(api.POST("/api/v1/segment", { body: { model, image: picture.base64, ...prompt } }));
  const roundTrip = performance.now() - begun;
  return { answer: readAnswer(answer, picture), roundTrip };
}

function Bench({ models }: { models: Model[] }) {
  const [model, setModel] = useState(models[0]?.name ?? "");
  const [picture, setPicture] = useState<Picture | null>(null);
  const [scene, setScene] = useState(1);
  const [prompt, setPrompt] = useState(NOTHING_ASKED);
  const [mode, setMode] = useState<Mode>("new");
  const [shown, setShown] = useState(0);
  const ask = useMutation({ mutationFn: segment });
  const { mutate: open, ...opening } = useMutation({
    mutationFn: (get: () => Promise<Picture>) => get(),
    onSuccess: (next) => {
      setPicture(next);
      onPrompt(NOTHING_ASKED);
    },
  });
  // There is something to click on from the start; a scene's number is its seed.
  useEffect(() => open(() => drawScene(scene)), [open, scene]);
  // The browser holds a picture until it is told that nobody shows it any more.
  useEffect(() => () => void (picture && forget(picture)), [picture]);

  function onPrompt(next: Prompt, by = model) {
    setPrompt(next);
    setShown(0);
    if (picture && asks(next)) ask.mutate({ model: by, picture, prompt: next });
    else ask.reset();
  }
  function onModel(name: string | null) {
    if (name === null) return;
    setModel(name);
    onPrompt(prompt, name);
  }
  const choose = (file: File | null) => file && open(() => load(file, file.name));
  const masks = ask.data?.answer.masks ?? [];
  const mask = (masks[shown] ?? masks[0])?.mask;
  const asked = prompt.points.length > 0 || prompt.box !== undefined;

  return (
    <Grid gap="lg">
      <Grid.Col span={{ base: 12, md: 8 }}>
        <Group mb="sm" justify="space-between">
          <Group gap="xs">
            <FileButton accept="image/*" onChange={choose}>
              {(props) => <Button {...props}>Choose a picture</Button>}
            </FileButton>
            <Button variant="default" onClick={() => setScene(scene + 1)}>
              Draw another scene
            </Button>
          </Group>
          <Group gap="xs">
            <SegmentedControl
              aria-label="What a click says"
              value={mode}
              onChange={(value) => setMode(value as Mode)}
              data={[
                { value: "new", label: "New object" },
                { value: "add", label: "This too" },
                { value: "remove", label: "Not this" },
              ]}
            />
            <Button variant="default" disabled={!asked} onClick={() => onPrompt(NOTHING_ASKED)}>
              Clear
            </Button>
          </Group>
        </Group>
        {opening.isError && <Failed error={opening.error} />}
        <DropZone onFile={choose}>
          {picture && (
            <PromptCanvas picture={picture} mask={mask} prompt={prompt} mode={mode} onPrompt={onPrompt} />
          )}
        </DropZone>
        <Text size="xs" c="dimmed" mt="xs">
          Shift-click: not this. Ctrl-click: this too. Keyboard: arrows move, Enter asks, B begins and ends a box, Escape
          clears. A picture may also be dropped here; it goes to the model host and is not kept.
        </Text>
      </Grid.Col>
      <Grid.Col span={{ base: 12, md: 4 }}>
        <Stack>
          <Select
            label="Full model, in the cloud"
            data={models.map((known) => known.name)}
            value={model}
            onChange={onModel}
            allowDeselect={false}
          />
          <Outcome asked={asked} prompt={prompt} ask={ask} shown={shown} onShow={setShown} />
          <Elsewhere prompt={prompt} />
        </Stack>
      </Grid.Col>
    </Grid>
  );
}

type OutcomeProps = {
  asked: boolean;
  prompt: Prompt;
  ask: { isPending: boolean; error: Error | null; data: Timed | undefined };
  shown: number;
  onShow: (place: number) => void;
};

function Outcome({ asked, prompt, ask, shown, onShow }: OutcomeProps) {
  if (ask.isPending) return <Text c="dimmed">Segmenting …</Text>;
  if (ask.error) return <Failed error={ask.error} />;
  if (ask.data) return <Verdict timed={ask.data} shown={shown} onShow={onShow} />;
  if (asked && !asks(prompt)) return <Text c="dimmed">Now click what is part of the object.</Text>;
  return <Text c="dimmed">Nothing is asked yet: click an object in the picture.</Text>;
}

/** Doors of gateways and devices are open to their own machines only, so their command is given instead. */
function Elsewhere({ prompt }: { prompt: Prompt }) {
  return (
    <Card>
      <Text size="xs" c="dimmed" fw={600} mb={4}>
        The same on a gateway or a device, by its own build
      </Text>
      <Text size="sm" component="div">
        <Command line={agentCommand(prompt)} />
      </Text>
    </Card>
  );
}
