/** What rollout pages say of rollouts. Pure. */
import type { Assignment, PhaseCounts, Rollout, Stage } from "../../api/client";
import { bytes, median, span, words } from "../../ui/format";

/** One part of a stage's bar. */
export type Segment = { name: string; count: number; color: string };

/** A stage's devices as parts of a bar, in the order in which devices move through them; all but the cancelled. */
export function segments(counts: PhaseCounts): Segment[] {
  const of = (phase: string) => counts.phases[phase] ?? 0;
  const parts = [
    { name: "active", count: counts.active, color: "leaf" },
    { name: "on the way", count: counts.underway, color: "blue" },
    { name: "on the way back", count: counts.returning, color: "orange" },
    { name: "back on what they kept", count: of("returned"), color: "yellow" },
    { name: "left as they are", count: of("withdrawn"), color: "grape" },
    { name: "not back", count: of("return-failed") + of("return-silent"), color: "pink" },
    { name: "failed", count: counts.failed, color: "red" },
    { name: "waiting", count: counts.pending, color: "gray" },
  ];
  return parts.filter((part) => part.count > 0);
}

/** Why a rollout stands where it stands, when that is on record. */
export function reason(rollout: Rollout): string | undefined {
  return "reason" in rollout ? rollout.reason : undefined;
}

/** The name of the stage that is open, if one is. */
export function openStage(rollout: Rollout): string | undefined {
  return "stage" in rollout ? rollout.stages[rollout.stage]?.name : undefined;
}

/** When a stage passes, when it stops the rollout, and how long a device has. */
export function gate(stage: Stage): string {
  const { success_percent, failure_percent, on_failure, timeout_seconds } = stage;
  const stop = `${on_failure}s above ${failure_percent} % failed`;
  const time = timeout_seconds === undefined ? "" : ` A device has ${span(timeout_seconds)}.`;
  return `Passes at ${success_percent} % serving, ${stop}.${time}`;
}

type Activation = Extract<Assignment, { state: "active" }>;

/** What a device measured on its way to the release; undefined where it does not serve it. */
export function activation(assignment: Assignment): Activation | undefined {
  return assignment.state === "active" && assignment.goal === "install" ? assignment : undefined;
}

/** What is known of an assignment that does not serve, as a sentence; empty when its phase says it all. */
export function detail(assignment: Assignment): string {
  switch (assignment.state) {
    case "underway":
      return assignment.bytes ? `${bytes(assignment.bytes.done)} of ${bytes(assignment.bytes.total)}` : "";
    case "failed":
      return `${words(assignment.kind)}: ${assignment.detail}`;
    case "silent":
      return "No word within the stage's timeout.";
    default:
      return "";
  }
}

/** How much of a download is there, 0 to 100; undefined when nothing is being downloaded. */
export function downloaded(assignment: Assignment): number | undefined {
  if (assignment.state !== "underway" || !assignment.bytes || assignment.bytes.total === 0) return undefined;
  return (100 * assignment.bytes.done) / assignment.bytes.total;
}

/** What a rollout took so far, over the devices that serve its release. */
export function taken(assignments: Assignment[]): { wire: number; serving: number | undefined } {
  const measured = assignments.flatMap((assignment) => activation(assignment) ?? []);
  return {
    wire: measured.reduce((sum, one) => sum + one.bytes_downloaded, 0),
    serving: median(measured.map((one) => one.duration_ms)),
  };
}
