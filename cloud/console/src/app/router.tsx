import { createRootRoute, createRoute, createRouter, redirect } from "@tanstack/react-router";

import { BuildPage } from "../pages/models/BuildPage";
import { DevicePage } from "../pages/fleet/DevicePage";
import { FleetPage } from "../pages/fleet/FleetPage";
import { ModelsPage } from "../pages/models/ModelsPage";
import { RolloutPage } from "../pages/rollouts/RolloutPage";
import { RolloutsPage } from "../pages/rollouts/RolloutsPage";
import { SegmentPage } from "../pages/segment/SegmentPage";
import { Failed, NotFound } from "../ui/states";
import { Shell } from "./Shell";

const root = createRootRoute({ component: Shell, notFoundComponent: NotFound });

const home = createRoute({
  getParentRoute: () => root,
  path: "/",
  beforeLoad: () => {
    throw redirect({ to: "/fleet" });
  },
});
const fleet = createRoute({ getParentRoute: () => root, path: "/fleet", component: FleetPage });
const device = createRoute({ getParentRoute: () => root, path: "/fleet/$name", component: DevicePage });
const rollouts = createRoute({ getParentRoute: () => root, path: "/rollouts", component: RolloutsPage });
const rollout = createRoute({ getParentRoute: () => root, path: "/rollouts/$id", component: RolloutPage });
const models = createRoute({ getParentRoute: () => root, path: "/models", component: ModelsPage });
const build = createRoute({ getParentRoute: () => root, path: "/models/builds/$id", component: BuildPage });
const segment = createRoute({ getParentRoute: () => root, path: "/try", component: SegmentPage });

export const router = createRouter({
  routeTree: root.addChildren([home, fleet, device, rollouts, rollout, models, build, segment]),
  defaultPreload: "intent",
  defaultErrorComponent: ({ error, reset }) => <Failed error={error} retry={reset} />,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
