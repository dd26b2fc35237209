/** A rollout's events as a line over time: how many devices served the release, or failed, at each moment. Pure. */
import type { FleetEvent } from "../../api/client";
import { said } from "../../ui/sentence";

/** Seconds since the epoch, and devices that served the release, or failed, from then on. */
export type History = { times: number[]; active: number[]; failed: number[] };

const FAILED = new Set(["failed", "rolled-back", "silent"]);

/** Follows each device's last word through the log. Counts are carried along: fleets are large, and logs are longer. */
export function history(events: FleetEvent[]): History {
  const last = new Map<string, string>();
  const now = { active: 0, failed: 0 };
  const count = (word: string | undefined, by: 1 | -1) => {
    if (word === "active") now.active += by;
    if (word !== undefined && FAILED.has(word)) now.failed += by;
  };
  const line: History = { times: [], active: [], failed: [] };
  for (const event of events) {
    const { device, word } = said(event);
    if (device !== undefined) {
      count(last.get(device), -1);
      count(word, 1);
      last.set(device, word);
    }
    line.times.push(Date.parse(event.at) / 1000);
    line.active.push(now.active);
    line.failed.push(now.failed);
  }
  return line;
}
