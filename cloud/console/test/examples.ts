/** Views as the API gives them, for tests. */
import type { Assignment, Device, FleetEvent, Rollout, Stage } from "../src/api/client";

export function device(changes: Partial<Device> = {}): Device {
  return {
    tenant: "main",
    name: "camera-07",
    role: "device",
    class: "edge-x86",
    labels: { site: "north" },
    enrolled_at: "2026-03-01T10:00:00Z",
    last_seen: "2026-03-01T11:59:48Z",
    certificate: { serial: "01", key_id: "aa", not_after: "2027-03-01T10:00:00Z" },
    standing: { state: "enrolled" },
    models: [],
    refused: [],
    ...changes,
  };
}

const COUNTS = { total: 4, pending: 1, underway: 1, active: 1, failed: 1, returning: 0, phases: {} };

export function rollout(changes: Partial<Rollout> = {}): Rollout {
  return {
    id: "01900000-0000-7000-8000-000000000001",
    release: "01900000-0000-7000-8000-000000000002",
    release_digest: "ab".repeat(32),
    model: "link",
    selector: "all",
    created_at: "2026-03-01T10:00:00Z",
    state: "running",
    stage: 0,
    since: "2026-03-01T10:00:00Z",
    stages: [],
    counts: COUNTS,
    left_out: [],
    actions: [],
    ...changes,
  } as Rollout;
}

export function stage(changes: Partial<Stage> = {}): Stage {
  return {
    name: "canary",
    size: { count: 1 },
    success_percent: 100,
    failure_percent: 5,
    min_sample: 1,
    timeout_seconds: 5400,
    on_failure: "pause",
    progress: "open",
    counts: COUNTS,
    ...changes,
  };
}

export function assignment(changes: object): Assignment {
  const place = { id: "01900000-0000-7000-8000-000000000003", device: "camera-07", stage: 0 };
  return { ...place, goal: "install", attempt: 1, phase: "pending", ...changes } as Assignment;
}

/** An assignment whose device serves the release. */
export function served(device: string, bytes_downloaded: number, duration_ms: number): Assignment {
  return assignment({ device, phase: "active", state: "active", bytes_downloaded, duration_ms });
}

/** An event `id` seconds after ten. */
export function event(id: number, kind: string, payload: object = {}): FleetEvent {
  const at = new Date(Date.UTC(2026, 2, 1, 10, 0, id)).toISOString();
  return { id, at, kind, subject: `subject-${id}`, payload: payload as FleetEvent["payload"] };
}
