import { Text } from "@mantine/core";

import type { FleetEvent } from "../api/client";
import { clock } from "./format";
import { sentence } from "./sentence";

/** Events that are drawn: what a person looks for is what just happened. */
const NEWEST = 100;

/** What happened, newest first. `stages` are the names of the stages that events may speak of. */
export function Log({ events, stages = [] }: { events: FleetEvent[]; stages?: string[] }) {
  if (events.length === 0) return <Text size="sm" c="dimmed">Nothing yet.</Text>;
  return (
    <>
      <ol className="log" aria-live="polite">
        {events
          .slice(-NEWEST)
          .toReversed()
          .map((event) => (
            <li key={event.id}>
              <time dateTime={event.at} title={new Date(event.at).toLocaleString()}>
                {clock(event.at)}
              </time>
              <span>{sentence(event, stages)}</span>
            </li>
          ))}
      </ol>
      {events.length > NEWEST && (
        <Text size="xs" c="dimmed" mt="xs">
          {`${events.length - NEWEST} earlier events are not shown.`}
        </Text>
      )}
    </>
  );
}
