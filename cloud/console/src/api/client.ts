/** The typed client of `/api/v1`, generated from the committed OpenAPI document. */
import createClient, { type Middleware } from "openapi-fetch";

import { session } from "../session/token";
import type { components, paths } from "./generated";
import { ApiError, type Problem } from "./problem";

type Schemas = components["schemas"];
export type Action = Schemas["AllowedAction"];
export type Assignment = Schemas["AssignmentView"];
export type Build = Schemas["BuildView"];
export type Device = Schemas["DeviceView"];
export type DeviceModel = Schemas["DeviceModelView"];
export type Evaluation = Schemas["EvaluationView"];
export type FleetEvent = Schemas["FleetEvent"];
export type Model = Schemas["ModelView"];
export type ModelVersion = Schemas["ModelVersionView"];
export type PhaseCounts = Schemas["PhaseCounts"];
export type Release = Schemas["ReleaseView"];
export type Rollout = Schemas["RolloutView"];
export type Stage = Schemas["StageView"];
export type Version = Schemas["VersionView"];

const bearer: Middleware = {
  onRequest({ request }) {
    const token = session.token();
    if (token) request.headers.set("authorization", `Bearer ${token}`);
    return request;
  },
  onResponse({ response }) {
    // A token that is no longer good must not leave a page of errors behind: back to the sign-in.
    if (response.status === 401) session.signOut();
  },
};

export const api = createClient<paths>({ baseUrl: "/" });
api.use(bearer);

type Answer<T> = { data?: T; error?: unknown; response: Response };

/** The answer's view, or the server's problem thrown as an {@link ApiError}. */
export async function view<T>(call: Promise<Answer<T>>): Promise<T> {
  const { data, error, response } = await call;
  if (data !== undefined) return data;
  throw ApiError.of(response.status, error as Problem | undefined);
}

type Page<T> = { items: T[]; next?: string | null | undefined };

/** All pages of a list. */
export async function all<T>(page: (after: string | undefined) => Promise<Answer<Page<T>>>): Promise<T[]> {
  const items: T[] = [];
  let after: string | undefined;
  do {
    const read: Page<T> = await view(page(after));
    items.push(...read.items);
    after = read.next ?? undefined;
  } while (after !== undefined);
  return items;
}
