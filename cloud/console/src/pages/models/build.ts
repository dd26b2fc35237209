/** What build pages say of builds. Pure. */
import type { Build, Evaluation } from "../../api/client";

/** The measurements, if the build came that far. */
export function evaluation(build: Build): Evaluation | undefined {
  return "evaluation" in build ? build.evaluation : undefined;
}

/** The digest of the bundle, if there is one. */
export function bundle(build: Build): string | undefined {
  return "bundle" in build ? build.bundle : undefined;
}

/** The build's size as a share of the full model's, 0 to 1. */
export function shareOfFull(measured: Evaluation): number {
  return measured.bytes / Math.max(measured.full_bytes, 1);
}

/** How much of its current stage a running build has done, 0 to 100; undefined where that is not known. */
export function stageDone(build: Build): number | undefined {
  return build.state === "running" && build.total > 0 ? (100 * build.done) / build.total : undefined;
}

/** Why a build cannot be released, where it has come to that. */
export function trouble(build: Build): string | undefined {
  if (build.state === "failed") return build.detail;
  return build.state === "gate_failed" ? build.evaluation.gate_reasons.join("; ") : undefined;
}
