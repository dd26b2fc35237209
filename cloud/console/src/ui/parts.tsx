import { Badge, CopyButton, Group, Text, Title, Tooltip, UnstyledButton } from "@mantine/core";
import { type ReactNode, useEffect, useState } from "react";

import { ago, short, words } from "./format";

/** A page's heading with what can be done beside it. */
export function Heading({ title, about, children }: { title: ReactNode; about?: ReactNode; children?: ReactNode }) {
  return (
    <Group justify="space-between" align="flex-start" mb="md" gap="sm">
      <div>
        <Title order={2}>{title}</Title>
        {about && (
          <Text c="dimmed" size="sm" component="div">
            {about}
          </Text>
        )}
      </div>
      <Group gap="xs">{children}</Group>
    </Group>
  );
}

/** The start of a digest or id; the whole in a tooltip, and copied by a click. */
export function Digest({ value, label = "digest" }: { value: string; label?: string }) {
  return (
    <CopyButton value={value}>
      {({ copied, copy }) => (
        <Tooltip label={copied ? "copied" : value} multiline maw={420} style={{ wordBreak: "break-all" }}>
          <UnstyledButton className="digest" onClick={copy} aria-label={`Copy ${label} ${value}`}>
            {short(value)}
          </UnstyledButton>
        </Tooltip>
      )}
    </CopyButton>
  );
}

/** How long ago something was, kept true while the page is open. */
export function Ago({ at }: { at: string }) {
  const now = useNow(1000);
  return (
    <Tooltip label={new Date(at).toLocaleString()}>
      <Text span size="sm">
        {ago(at, now)}
      </Text>
    </Tooltip>
  );
}

function useNow(everyMs: number): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}

const GOOD = ["active", "passed", "completed", "signed", "returned", "ready"];
const BAD = ["failed", "gate_failed", "rolled-back", "silent", "return-failed", "return-silent", "aborted", "refused"];
const WAITING = ["pending", "draft", "queued", "waiting", "cancelled", "withdrawn", "closed"];
const STOPPED = ["paused", "reverting", "reverted", "returning"];

/** The colour that a state's word has everywhere. */
export function stateColor(state: string): string {
  if (GOOD.includes(state)) return "leaf";
  if (BAD.includes(state)) return "red";
  if (STOPPED.includes(state)) return "orange";
  if (WAITING.includes(state)) return "gray";
  return "blue";
}

/** A state as a word; the colour only repeats it. */
export function State({ state, title }: { state: string; title?: string | undefined }) {
  const badge = (
    <Badge color={stateColor(state)} variant="light" tt="none" radius="sm">
      {words(state)}
    </Badge>
  );
  return title ? (
    <Tooltip label={title} multiline maw={420}>
      {badge}
    </Tooltip>
  ) : (
    badge
  );
}

/** Where there is nothing: an empty cell reads like a mistake. */
export function Nothing() {
  return (
    <Text span c="dimmed" aria-label="none">
      –
    </Text>
  );
}

/** One figure with its name. */
export function Figure({ name, value, about }: { name: string; value: ReactNode; about?: ReactNode }) {
  return (
    <div>
      <Text size="xs" c="dimmed" tt="uppercase" fw={600} style={{ letterSpacing: 0.4 }}>
        {name}
      </Text>
      <Text fw={650} fz="lg" component="div">
        {value}
      </Text>
      {about && (
        <Text size="xs" c="dimmed" component="div">
          {about}
        </Text>
      )}
    </div>
  );
}
