import { Alert, Button, Center, Skeleton, Stack, Text, Title } from "@mantine/core";
import type { UseQueryResult } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";

import { explain } from "../api/problem";
import { Prose } from "./Prose";
import { WarningIcon } from "./icons";

/** Nothing there yet, and how to change that. */
export function Empty({ title, children }: { title: string; children: ReactNode }) {
  return (
    <Center py={64}>
      <Stack align="center" gap="xs" maw={520}>
        <Title order={3}>{title}</Title>
        <Text c="dimmed" ta="center" component="div">
          {children}
        </Text>
      </Stack>
    </Center>
  );
}

/** What went wrong and what to do, with another try. */
export function Failed({ error, retry }: { error: unknown; retry?: () => void }) {
  const { message, hint } = explain(error);
  return (
    <Alert color="red" icon={<WarningIcon />} title={<Prose text={message} />} my="md" role="alert">
      {hint && (
        <Text size="sm">
          <Prose text={hint} />
        </Text>
      )}
      {retry && (
        <Button mt="sm" size="xs" variant="light" color="red" onClick={retry}>
          Try again
        </Button>
      )}
    </Alert>
  );
}

/**
 * A query's view as it stands: loading, failed, or there. What was read before stays on the page when
 * a later reading fails, with the failure above it.
 */
export function Loaded<T>({ query, children }: { query: UseQueryResult<T>; children: (view: T) => ReactNode }) {
  const retry = () => void query.refetch();
  if (query.data === undefined) {
    return query.isError ? <Failed error={query.error} retry={retry} /> : <Loading />;
  }
  return (
    <>
      {query.isError && <Failed error={query.error} retry={retry} />}
      {children(query.data)}
    </>
  );
}

function Loading() {
  return (
    <Stack gap="sm" aria-busy="true" aria-label="Loading">
      {[0, 1, 2, 3].map((line) => (
        <Skeleton key={line} height={36} />
      ))}
    </Stack>
  );
}

export function NotFound() {
  return (
    <Empty title="There is no such page">
      <Link to="/fleet">Go to the fleet</Link>
    </Empty>
  );
}
