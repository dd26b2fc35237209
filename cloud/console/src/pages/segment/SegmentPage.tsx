import { Button, Code, FileButton, Grid, Group, SegmentedControl, Select, Stack, Text } from "@mantine/core";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useEffect, useMemo, useState } from "react";

import { api, type Model, view } from "../../api/client";
import { modelsQuery } from "../../api/queries";
import { Heading } from "../../ui/parts";
import { Empty, Failed, Loaded } from "../../ui/states";
import { DropZone } from "./DropZone";
import { PromptCanvas } from "./PromptCanvas";
import { Verdict } from "./Verdict";
import { type Answer, readAnswer } from "./answer";
import { forget, load, type Picture } from "./picture";
import { asks, type Mode, type Prompt } from "./prompt";
import { unpack } from "./rle";
import { drawScene } from "./scene";

const TASK = "promptable-segmentation";
const NOTHING_ASKED: Prompt = { points: [] };

export function SegmentPage() {
  const models = useQuery(modelsQuery);
  return (
    <>
      <Heading
        title="Try it"
        about="Segment a picture with a full model, in the cloud. Devices serve the same with their builds."
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
      <Code>espalier model import FOLDER</Code> brings in one that segments pictures.
    </Empty>
  );
}

/** An answer with the time that it took from here. */
type Timed = { answer: Answer; roundTrip: number };

async function segment(model: string, picture: Picture, prompt: Prompt): Promise<Timed> {
  const begun = performance.now();
  const answer = await view(api.POST("/api/v1/segment", { body: { model, image: picture.base64, ...prompt } }));
  return { answer: readAnswer(answer), roundTrip: performance.now() - begun };
}

function Bench({ models }: { models: Model[] }) {
  const [model, setModel] = useState(models[0]?.name ?? "");
  const [picture, setPicture] = useState<Picture | null>(null);
  const [prompt, setPrompt] = useState(NOTHING_ASKED);
  const [mode, setMode] = useState<Mode>("new");
  const [shown, setShown] = useState(0);
  const ask = useMutation({
    mutationFn: ({ picture, prompt }: { picture: Picture; prompt: Prompt }) => segment(model, picture, prompt),
  });
  const open = useMutation({ mutationFn: (get: () => Promise<Picture>) => get(), onSuccess: adopt });

  function adopt(next: Picture) {
    setPicture(next);
    setPrompt(NOTHING_ASKED);
    ask.reset();
  }
  function onPrompt(next: Prompt) {
    setPrompt(next);
    setShown(0);
    if (picture && asks(next)) ask.mutate({ picture, prompt: next });
  }
  // The browser holds a picture until it is told that nobody shows it any more.
  useEffect(() => () => void (picture && forget(picture)), [picture]);

  const answer = ask.data?.answer;
  const chosen = answer?.masks[shown] ?? answer?.masks[0];
  const mask = useMemo(() => (chosen ? unpack(chosen.rle) : undefined), [chosen]);
  const choose = (file: File | null) => file && open.mutate(() => load(file, file.name));
  const scene = () => open.mutate(() => drawScene(Math.floor(Math.random() * 1_000_000)));

  return (
    <Grid gap="lg">
      <Grid.Col span={{ base: 12, md: 8 }}>
        <Group mb="sm" justify="space-between">
          <Group gap="xs">
            <FileButton accept="image/*" onChange={choose}>
              {(props) => <Button {...props}>Choose a picture</Button>}
            </FileButton>
            <Button variant="default" onClick={scene}>
              Draw a scene
            </Button>
          </Group>
          {picture && (
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
          )}
        </Group>
        {open.isError && <Failed error={open.error} />}
        <DropZone onFile={choose}>
          {picture ? (
            <PromptCanvas picture={picture} mask={mask} prompt={prompt} mode={mode} onPrompt={onPrompt} />
          ) : (
            <Empty title="Choose a picture, or drop one here">
              Then click on an object, or drag a box around it. The picture goes to the model host and is not kept.
            </Empty>
          )}
        </DropZone>
      </Grid.Col>
      <Grid.Col span={{ base: 12, md: 4 }}>
        <Stack>
          <Select
            label="Model"
            data={models.map((known) => known.name)}
            value={model}
            onChange={(value) => value && setModel(value)}
            allowDeselect={false}
          />
          {ask.isPending && <Text c="dimmed">Segmenting …</Text>}
          {ask.isError && <Failed error={ask.error} />}
          {ask.data && <Verdict timed={ask.data} shown={shown} onShow={setShown} />}
          {picture && !ask.data && !ask.isPending && (
            <Text size="sm" c="dimmed">
              Click an object. Shift-click says what is not part of it, Ctrl-click what is too. Or drag a box.
            </Text>
          )}
        </Stack>
      </Grid.Col>
    </Grid>
  );
}
