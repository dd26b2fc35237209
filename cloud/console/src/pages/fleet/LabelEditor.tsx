import { Button, Group, TagsInput } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { api, type Device, view } from "../../api/client";
import { Failed } from "../../ui/states";
import { readLabels, writeLabels } from "./labelText";

/** Labels as `name=value` tags. Rollouts select devices by them. */
export function LabelEditor({ device }: { device: Device }) {
  const queries = useQueryClient();
  const [tags, setTags] = useState<string[] | null>(null);
  const shown = tags ?? writeLabels(device.labels);
  const labels = readLabels(shown);
  const save = useMutation({
    mutationFn: (labels: Record<string, string>) =>
      view(api.PUT("/api/v1/devices/{name}/labels", { params: { path: { name: device.name } }, body: { labels } })),
    onSuccess: () => {
      setTags(null);
      return queries.invalidateQueries({ queryKey: ["devices"] });
    },
  });
  return (
    <>
      <TagsInput
        value={shown}
        onChange={setTags}
        placeholder="name=value"
        aria-label="Labels"
        error={labels === null ? "Write each label as name=value." : undefined}
        maw={640}
      />
      {tags !== null && (
        <Group mt="xs" gap="xs">
          <Button size="xs" disabled={labels === null} loading={save.isPending} onClick={() => labels && save.mutate(labels)}>
            Save labels
          </Button>
          <Button size="xs" variant="default" onClick={() => setTags(null)}>
            Discard
          </Button>
        </Group>
      )}
      {save.isError && <Failed error={save.error} />}
    </>
  );
}
