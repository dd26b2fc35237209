/** What pages read. One definition for each view, so that every page and every live event agree on keys. */
import { queryOptions } from "@tanstack/react-query";

import { all, api, view } from "./client";

/** Views are read again this often even without events: a lost event costs freshness, never truth. */
const FALLBACK_MS = 15_000;

/** As few questions as the API allows: its largest page. */
const page = (after: string | undefined) => ({ limit: 1000, ...(after !== undefined && { after }) });

export const versionQuery = queryOptions({
  queryKey: ["version"],
  queryFn: () => view(api.GET("/version")),
  staleTime: Infinity,
});

export const devicesQuery = queryOptions({
  queryKey: ["devices"],
  queryFn: () => all((after) => api.GET("/api/v1/devices", { params: { query: page(after) } })),
  refetchInterval: FALLBACK_MS,
});

export const deviceQuery = (name: string) =>
  queryOptions({
    queryKey: ["devices", name],
    queryFn: () => view(api.GET("/api/v1/devices/{name}", { params: { path: { name } } })),
    refetchInterval: FALLBACK_MS,
  });

export const deviceLogQuery = (name: string) =>
  queryOptions({
    queryKey: ["devices", name, "events"],
    queryFn: () =>
      all((after) => api.GET("/api/v1/devices/{name}/events", { params: { path: { name }, query: page(after) } })),
    refetchInterval: FALLBACK_MS,
  });

export const rolloutsQuery = queryOptions({
  queryKey: ["rollouts"],
  queryFn: () => all((after) => api.GET("/api/v1/rollouts", { params: { query: page(after) } })),
  refetchInterval: FALLBACK_MS,
});

export const rolloutQuery = (id: string) =>
  queryOptions({
    queryKey: ["rollouts", id],
    queryFn: () => view(api.GET("/api/v1/rollouts/{id}", { params: { path: { id } } })),
    refetchInterval: FALLBACK_MS,
  });

export const assignmentsQuery = (id: string) =>
  queryOptions({
    queryKey: ["rollouts", id, "assignments"],
    queryFn: () =>
      all((after) =>
        api.GET("/api/v1/rollouts/{id}/assignments", { params: { path: { id }, query: page(after) } }),
      ),
    refetchInterval: FALLBACK_MS,
  });

export const rolloutLogQuery = (id: string) =>
  queryOptions({
    queryKey: ["rollouts", id, "events"],
    queryFn: () =>
      all((after) => api.GET("/api/v1/rollouts/{id}/events", { params: { path: { id }, query: page(after) } })),
    refetchInterval: FALLBACK_MS,
  });

export const modelsQuery = queryOptions({
  queryKey: ["models"],
  queryFn: () => all((after) => api.GET("/api/v1/models", { params: { query: page(after) } })),
});

export const modelVersionsQuery = (model: string) =>
  queryOptions({
    queryKey: ["models", model, "versions"],
    queryFn: () =>
      all((after) =>
        api.GET("/api/v1/models/{model}/versions", { params: { path: { model }, query: page(after) } }),
      ),
  });

export const buildsQuery = queryOptions({
  queryKey: ["builds"],
  queryFn: () => all((after) => api.GET("/api/v1/builds", { params: { query: page(after) } })),
  refetchInterval: FALLBACK_MS,
});

export const buildQuery = (id: string) =>
  queryOptions({
    queryKey: ["builds", id],
    queryFn: () => view(api.GET("/api/v1/builds/{id}", { params: { path: { id } } })),
    refetchInterval: FALLBACK_MS,
  });

export const releasesQuery = queryOptions({
  queryKey: ["releases"],
  queryFn: () => all((after) => api.GET("/api/v1/releases", { params: { query: page(after) } })),
  refetchInterval: FALLBACK_MS,
});
