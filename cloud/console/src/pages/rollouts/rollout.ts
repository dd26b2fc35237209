/** What rollout pages say of rollouts. Pure. */
import type { Assignment, PhaseCounts, Rollout } from "../../api/client";
import { bytes, milliseconds } from "../../ui/format";

/** One part of a stage's bar. */
export type Segment = { name: string; count: number; color: string };

/** A stage's devices as parts of a bar, in the order in which devices move through them. */
export function segments(counts: PhaseCounts): Segment[] {
  const parts = [
    { name: "active", count: counts.active, color: "leaf" },
    { name: "on the way", count: counts.underway, color: "blue" },
    { name: "on the way back", count: counts.returning, color: "orange" },
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

/** What is known of an assignment beyond its phase, as a sentence. */
export function detail(assignment: Assignment): string {
  switch (assignment.state) {
    case "underway":
      return assignment.bytes ? `${bytes(assignment.bytes.done)} of ${bytes(assignment.bytes.total)}` : "";
    case "active":
      return activation(assignment);
    case "failed":
      return `${assignment.kind}: ${assignment.detail}`;
    case "silent":
      return "No word within the stage's timeout.";
    default:
      return "";
  }
}

type Activation = Extract<Assignment, { state: "active" }>;

function activation(measured: Activation): string {
  const parts = [`${bytes(measured.bytes_downloaded)} downloaded`, `${milliseconds(measured.duration_ms)} until serving`];
  if (measured.golden_agreement != null) parts.push(`agreement ${measured.golden_agreement.toFixed(3)}`);
  if (measured.golden_latency_ms != null) parts.push(`${milliseconds(measured.golden_latency_ms)} an inference`);
  return parts.join(", ");
}

/** How much of a download is there, 0 to 100; undefined when nothing is being downloaded. */
export function downloaded(assignment: Assignment): number | undefined {
  if (assignment.state !== "underway" || !assignment.bytes || assignment.bytes.total === 0) return undefined;
  return (100 * assignment.bytes.done) / assignment.bytes.total;
}
