/** Events as sentences for people. Pure. */
import type { FleetEvent } from "../api/client";
import { words } from "./format";

/** What an event says, read from its kind and payload; what does not stand there is undefined. */
export type Said = {
  /** What it is about: `assignment`, `rollout`, … */
  subject: string;
  /** What happened to it: `active`, `paused`, … */
  word: string;
  device: string | undefined;
  stage: number | undefined;
};

export function said({ kind, payload }: FleetEvent): Said {
  const [subject = "", word = ""] = kind.split(".", 2);
  const { device, stage } = payload as Record<string, unknown>;
  return {
    subject,
    word,
    device: typeof device === "string" ? device : undefined,
    stage: typeof stage === "number" ? stage : undefined,
  };
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
  withdrawn: "is left as it is: the rollout asks nothing more of it",
  returning: "goes back",
  returned: "is back on what it kept",
  "return-failed": "could not go back",
  "return-silent": "did not answer on its way back",
};

/** What happened to a device outside of any rollout, after its name. */
const DEVICE: Record<string, string> = {
  enrolled: "enrolled",
  labelled: "got other labels",
  revoked: "lost its certificate: it was revoked",
  quarantined: "was put into quarantine: two agents hold its key",
  readmitted: "was let in again",
};

/** An event as a sentence for people. `stages` are the names of the rollout's stages. */
export function sentence(event: FleetEvent, stages: string[]): string {
  const { subject, word, device, stage } = said(event);
  if (subject === "device") {
    const name = event.subject.slice(event.subject.lastIndexOf("/") + 1);
    return `${name} ${word === "refused" ? refusal(event) : (DEVICE[word] ?? words(word))}`;
  }
  if (subject === "assignment" && device !== undefined) return `${device} ${PHASES[word] ?? words(word)}`;
  if (subject === "rollout") {
    const open = stage === undefined ? undefined : stages[stage];
    return `The rollout is ${words(word)}${open === undefined ? "" : `, stage ${open}`}`;
  }
  return words(event.kind.replace(".", " "));
}

function refusal({ payload }: FleetEvent): string {
  const { attack } = payload as Record<string, unknown>;
  return typeof attack === "string" ? `refused what it was offered: ${words(attack)}` : "refused what it was offered";
}
