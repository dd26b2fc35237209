import { type QueryClient, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";

import { session } from "../session/token";
import type { FleetEvent } from "./client";
import { follow } from "./events";

/** Whether the page hears of changes as they happen. */
export type Live = "connecting" | "live" | "lost";

const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 15_000;
/** Events within this time are answered with one reading: a large fleet tells more than anyone can see. */
const GATHER_MS = 250;

/** Which lists an event makes stale, by the first word of its kind. */
const STALE: Record<string, readonly string[]> = {
  device: ["devices"],
  assignment: ["rollouts", "devices"],
  rollout: ["rollouts", "devices"],
  build: ["builds"],
  model: ["models"],
  release: ["releases"],
};

/** Every list: for an event of a later version, which may mean anything. */
const EVERYTHING = [...new Set(Object.values(STALE).flat())];

/** The lists that an event makes stale. An event names a thing, not its new value. */
export function staleLists(event: Pick<FleetEvent, "kind">): readonly string[] {
  const [subject = ""] = event.kind.split(".", 1);
  return STALE[subject] ?? EVERYTHING;
}

/** Keeps all queries fresh by the server's events; connects again with growing pauses. */
export function useLive(): Live {
  const queries = useQueryClient();
  const [live, setLive] = useState<Live>("connecting");
  useEffect(() => {
    const stop = new AbortController();
    void listen(queries, stop.signal, setLive);
    return () => stop.abort();
  }, [queries]);
  return live;
}

async function listen(queries: QueryClient, signal: AbortSignal, tell: (live: Live) => void) {
  let pause = FIRST_RETRY_MS;
  const opened = () => {
    pause = FIRST_RETRY_MS;
    tell("live");
    // What changed while nobody listened is not told again.
    void queries.invalidateQueries();
  };
  const refresh = gathered((list) => void queries.invalidateQueries({ queryKey: [list] }));
  while (!signal.aborted) {
    const token = session.token();
    if (token === null) return;
    try {
      await follow("/api/v1/events", token, signal, opened, (data) => refresh(JSON.parse(data) as FleetEvent));
    } catch {
      // The connection is told as lost below, and tried again; there is nothing else to do about it.
    }
    if (signal.aborted) return;
    tell("lost");
    await new Promise((resume) => setTimeout(resume, pause * (0.75 + Math.random() / 2)));
    pause = Math.min(pause * 2, LAST_RETRY_MS);
  }
}

/** Takes events, and names each stale list once for all that came within {@link GATHER_MS}. */
export function gathered(refresh: (list: string) => void): (event: Pick<FleetEvent, "kind">) => void {
  const stale = new Set<string>();
  const flush = () => {
    const lists = [...stale];
    stale.clear();
    for (const list of lists) refresh(list);
  };
  return (event) => {
    if (stale.size === 0) setTimeout(flush, GATHER_MS);
    for (const list of staleLists(event)) stale.add(list);
  };
}
