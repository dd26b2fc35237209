import { MantineProvider } from "@mantine/core";
import { Notifications } from "@mantine/notifications";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { useState, useSyncExternalStore } from "react";

import { ApiError } from "../api/problem";
import { SignIn } from "../session/SignIn";
import { session } from "../session/token";
import { router } from "./router";
import { theme } from "./theme";

/** A refusal will be the same the next time; only silence is worth another try. */
function worthRetrying(failures: number, error: unknown): boolean {
  return failures < 3 && !(error instanceof ApiError && error.status < 500);
}

export function App() {
  const token = useSyncExternalStore(session.subscribe, session.token);
  return (
    <MantineProvider theme={theme} defaultColorScheme="auto">
      <Notifications position="bottom-right" />
      {/* Another token may see other things: nothing read with one outlives it. */}
      <Queries key={token ?? "nobody"}>{token ? <RouterProvider router={router} /> : <SignIn />}</Queries>
    </MantineProvider>
  );
}

function Queries({ children }: { children: React.ReactNode }) {
  const [client] = useState(
    () => new QueryClient({ defaultOptions: { queries: { retry: worthRetrying, staleTime: 2_000 } } }),
  );
  return <QueryClientProvider client={client}>{children}</QueryClientProvider>;
}
