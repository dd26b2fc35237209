import { Button, Group, Modal, Text, Tooltip } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { notifications } from "@mantine/notifications";
import { useMutation, useQueryClient } from "@tanstack/react-query";

import { type Action, api, type Rollout, view } from "../../api/client";
import { explain } from "../../api/problem";
import { words } from "../../ui/format";

type Verb = "start" | "pause" | "resume" | "abort" | "revert";

/** How a verb looks, and what a person must know before it is done. */
const VERBS: Record<Verb, { label: string; color: string; warning?: string }> = {
  start: { label: "Start", color: "leaf" },
  pause: { label: "Pause", color: "blue" },
  resume: { label: "Resume", color: "leaf" },
  abort: {
    label: "Abort",
    color: "orange",
    warning: "The rollout stops for good. Devices keep what they run, new release or old.",
  },
  revert: {
    label: "Revert",
    color: "red",
    warning: "Devices go back to the slot that they kept. One that served nothing before keeps the release.",
  },
};

const PATHS = {
  start: "/api/v1/rollouts/{id}/start",
  pause: "/api/v1/rollouts/{id}/pause",
  resume: "/api/v1/rollouts/{id}/resume",
  abort: "/api/v1/rollouts/{id}/abort",
  revert: "/api/v1/rollouts/{id}/revert",
} as const;

function isVerb(action: string): action is Verb {
  return action in VERBS;
}

/** What can be done with a rollout. What cannot be done now is disabled with the server's reason. */
export function Actions({ rollout }: { rollout: Rollout }) {
  return (
    <>
      {rollout.actions.map((action) =>
        isVerb(action.action) ? (
          <ActionButton key={action.action} rollout={rollout} verb={action.action} action={action} />
        ) : null,
      )}
    </>
  );
}

function ActionButton({ rollout, verb, action }: { rollout: Rollout; verb: Verb; action: Action }) {
  const queries = useQueryClient();
  const [asking, { open, close }] = useDisclosure(false);
  const { label, color, warning } = VERBS[verb];
  const act = useMutation({
    mutationFn: () => view(api.POST(PATHS[verb], { params: { path: { id: rollout.id } } })),
    onSuccess: (changed) => {
      queries.setQueryData(["rollouts", rollout.id], changed);
      notifications.show({ color: "leaf", message: `The rollout is ${words(changed.state)}.` });
    },
    onError: (error) => {
      const { message, hint } = explain(error);
      notifications.show({ color: "red", title: message, message: hint });
    },
    onSettled: () => {
      close();
      return queries.invalidateQueries({ queryKey: ["rollouts"] });
    },
  });
  return (
    <>
      <Tooltip label={action.reason ?? ""} disabled={action.allowed || !action.reason}>
        {/* `data-disabled` keeps the reason reachable by pointer and keyboard, where `disabled` would not. */}
        <Button
          variant="light"
          color={color}
          size="sm"
          {...(!action.allowed && { "data-disabled": true })}
          aria-disabled={!action.allowed}
          loading={act.isPending}
          onClick={() => action.allowed && (warning ? open() : act.mutate())}
        >
          {label}
        </Button>
      </Tooltip>
      {warning && (
        <Modal opened={asking} onClose={close} title={`${label} this rollout?`} centered>
          <Text size="sm" mb="lg">
            {warning}
          </Text>
          <Group justify="flex-end">
            <Button variant="default" onClick={close}>
              Leave it
            </Button>
            <Button color={color} loading={act.isPending} onClick={() => act.mutate()}>
              {label}
            </Button>
          </Group>
        </Modal>
      )}
    </>
  );
}
