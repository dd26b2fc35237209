import { Badge, CopyButton, Group, Text, Title, Tooltip, UnstyledButton } from "@mantine/core";
import { type ReactNode, useSyncExternalStore } from "react";

import { ago, short, words } from "./format";

type HeadingProps = {
  /** Also the window's title. */
  title: string;
  /** What stands beside the title: a state. */
  mark?: ReactNode;
  about?: ReactNode;
  /** What can be done. */
  children?: ReactNode;
};

/** A page's heading with what can be done beside it. */
export function Heading({ title, mark, about, children }: HeadingProps) {
  return (
    <Group justify="space-between" align="flex-start" mb="lg" gap="sm">
      <title>{`${title} · Espalier`}</title>
      <div>
        <Group gap="sm">
          <Title order={2}>{title}</Title>
          {mark}
        </Group>
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

/** A part of a page under its own heading. */
export function Section({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section aria-label={title}>
      <Title order={4} mb="xs">
        {title}
      </Title>
      {children}
    </section>
  );
}

/** The start of a digest or id; the whole in a tooltip, and copied by a click. */
export function Digest({ value, label = "digest" }: { value: string; label?: string }) {
  return <Copied value={value} shown={short(value)} label={label} />;
}

/** A command of the operator's tool; copied by a click. */
export function Command({ line }: { line: string }) {
  return <Copied value={line} shown={line} label="command" />;
}

function Copied({ value, shown, label }: { value: string; shown: string; label: string }) {
  return (
    <CopyButton value={value}>
      {({ copied, copy }) => (
        <Tooltip
          label={copied ? "copied" : shown === value ? "copy" : value}
          multiline
          maw={420}
          style={{ wordBreak: "break-all" }}
        >
          <UnstyledButton className={shown === value ? "copied whole" : "copied"} onClick={copy} aria-label={`Copy ${label} ${value}`}>
            {shown}
          </UnstyledButton>
        </Tooltip>
      )}
    </CopyButton>
  );
}

/** How long ago something was, kept true while the page is open. */
export function Ago({ at }: { at: string }) {
  // The snapshot is the text itself, so that a table of times is drawn again only where a text changed.
  const text = useSyncExternalStore(everySecond, () => ago(at, Date.now()));
  return (
    <Tooltip label={new Date(at).toLocaleString()}>
      <Text span inherit style={{ whiteSpace: "nowrap" }}>
        {text}
      </Text>
    </Tooltip>
  );
}

function everySecond(tell: () => void): () => void {
  const timer = setInterval(tell, 1000);
  return () => clearInterval(timer);
}

const GOOD = ["active", "passed", "completed", "signed", "returned", "ready"];
const BAD = ["failed", "gate_failed", "rolled-back", "silent", "return-failed", "return-silent", "aborted", "refused", "revoked", "quarantined"];
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
    <Badge color={stateColor(state)} {...(title && { tabIndex: 0 })}>
      {words(state)}
    </Badge>
  );
  if (!title) return badge;
  return (
    <Tooltip label={title} multiline maw={420}>
      {badge}
    </Tooltip>
  );
}

/** Where there is nothing: an empty cell reads like a mistake. */
export function Nothing() {
  return (
    <Text span inherit c="dimmed" aria-label="none">
      –
    </Text>
  );
}

/** One figure with its name. */
export function Figure({ name, value, about }: { name: string; value: ReactNode; about?: ReactNode }) {
  return (
    <div>
      <Text size="xs" c="dimmed" fw={600}>
        {name}
      </Text>
      <Text fw={650} fz="xl" lh={1.3} component="div" className="figures">
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

/** Names and values below one another. */
export function Facts({ facts }: { facts: [name: string, value: ReactNode][] }) {
  return (
    <dl className="facts">
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
