import type { components } from "./generated";

export type Problem = components["schemas"]["Problem"];

/** What the server refused, in its own words. */
export class ApiError extends Error {
  readonly status: number;
  /** What the person can do about it. */
  readonly hint: string | undefined;

  private constructor(status: number, message: string, hint: string | undefined) {
    super(message);
    this.status = status;
    this.hint = hint;
  }

  /** From a problem document, or from whatever else answered. */
  static of(status: number, problem: Problem | undefined): ApiError {
    if (problem && typeof problem.detail === "string") {
      return new ApiError(status, problem.detail, problem.hint ?? undefined);
    }
    return new ApiError(status, `The server answered with status ${status}.`, "Look into the server's log.");
  }
}

/** An error's message and hint, whatever was thrown. */
export function explain(error: unknown): { message: string; hint: string | undefined } {
  if (error instanceof ApiError) return { message: error.message, hint: error.hint };
  if (error instanceof TypeError) {
    return { message: "The server does not answer.", hint: "Check that it runs; this page tries again by itself." };
  }
  return { message: error instanceof Error ? error.message : String(error), hint: undefined };
}
