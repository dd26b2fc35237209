/** A rollout's events: how many devices served the release at each moment, and each event as a sentence. Pure. */
import type { FleetEvent } from "../../api/client";
import { words } from "../../ui/format";

/** Seconds since the epoch, and devices that served the release, or failed, from then on. */
export type History = { times: number[]; active: number[]; failed: number[] };

const FAILED = ["failed", "rolled-back", "silent"];

/** What an event says, read from its kind and payload; members that are not there are left out. */
type Said = { subject: string; word: string; device: string | undefined; stage: number | undefined };

function read({ kind, payload }: FleetEvent): Said {
  const [subject = "", word = ""] = kind.split(".", 2);
  const { device, stage } = payload as Record<string, unknown>;
  return {
    subject,
    word,
    device: typeof device === "string" ? device : undefined,
    stage: typeof stage === "number" ? stage : undefined,
  };
}

/** Follows each device's last word through the log. */
export function history(events: FleetEvent[]): History {
  const last = new Map<string, string>();
  const line: History = { times: [], active: [], failed: [] };
  for (const event of events) {
    const { device, word } = read(event);
    if (device !== undefined) last.set(device, word);
    const now = [...last.values()];
    line.times.push(Date.parse(event.at) / 1000);
    line.active.push(now.filter((phase) => phase === "active").length);
    line.failed.push(now.filter((phase) => FAILED.includes(phase)).length);
  }
  return line;
}

/** What a device's phase says about it, after the device's name. */
const PHASES: Record<string, string> = {
  pending: "waits for its stage",
  sent: "was told",
  accepted: "takes it",
  downloading: "downloads",
  verified: "verified every byte",
  trial: "tries it beside the old one",
  active: "serves the release",
  failed: "failed; what served before serves",
  "rolled-back": "went back by itself",
  silent: "did not answer in time",
  cancelled: "was not told any more",
  withdrawn: "is free of it: nothing was installed",
  returning: "goes back",
  returned: "is back on what it kept",
  "return-failed": "could not go back",
  "return-silent": "did not answer on its way back",
};

/** An event as a sentence for people. `stages` are the names of the rollout's stages. */
export function sentence(event: FleetEvent, stages: string[]): string {
  const { subject, word, device, stage } = read(event);
  if (subject === "assignment" && device !== undefined) return `${device} ${PHASES[word] ?? words(word)}`;
  if (subject === "rollout") {
    const open = stage === undefined ? undefined : stages[stage];
    return `The rollout is ${words(word)}${open === undefined ? "" : `, stage ${open}`}`;
  }
  return words(event.kind.replace(".", " "));
}
