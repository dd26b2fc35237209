/** A rollout's events as a line over time: how many devices served the release, or failed, at each moment. Pure. */
import type { FleetEvent } from "../../api/client";
import { said } from "../../ui/sentence";

/** Seconds since the epoch, and devices that served the release, or failed, from then on. */
export type History = { times: number[]; active: number[]; failed: number[] };

const FAILED = ["failed", "rolled-back", "silent"];

/** Follows each device's last word through the log. */
export function history(events: FleetEvent[]): History {
  const last = new Map<string, string>();
  const line: History = { times: [], active: [], failed: [] };
  for (const event of events) {
    const { device, word } = said(event);
    if (device !== undefined) last.set(device, word);
    const now = [...last.values()];
    line.times.push(Date.parse(event.at) / 1000);
    line.active.push(now.filter((phase) => phase === "active").length);
    line.failed.push(now.filter((phase) => FAILED.includes(phase)).length);
  }
  return line;
}
