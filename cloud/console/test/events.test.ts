import { describe, expect, test, vi } from "vitest";

import { EventParser } from "../src/api/events";
import { gathered, staleLists } from "../src/api/live";

describe("server-sent events", () => {
  const stream = ': keep-alive\n\nevent: fleet\ndata: {"a":\ndata: 1}\n\ndata: x\r\n\r\n';

  test("an event cut anywhere is put together", () => {
    for (let cut = 0; cut <= stream.length; cut += 1) {
      const parser = new EventParser();
      const seen = [...parser.feed(stream.slice(0, cut)), ...parser.feed(stream.slice(cut))];
      expect(seen, `cut at ${cut}`).toEqual(['{"a":\n1}', "x"]);
    }
  });

  test("a kind of a later version makes everything stale", () => {
    expect(staleLists({ kind: "weather.changed" })).toContain("devices");
    expect(staleLists({ kind: "weather.changed" })).toContain("builds");
  });

  test("an assignment's move also moves rollouts and devices", () => {
    expect(staleLists({ kind: "assignment.active" })).toEqual(["rollouts", "devices"]);
  });

  test("a storm of events is one reading of each list", () => {
    vi.useFakeTimers();
    const read = vi.fn();
    const tell = gathered(read);
    for (let device = 0; device < 1000; device += 1) tell({ kind: "assignment.downloading" });
    vi.runAllTimers();
    expect(read.mock.calls).toEqual([["rollouts"], ["devices"]]);
    tell({ kind: "build.passed" });
    vi.runAllTimers();
    expect(read).toHaveBeenLastCalledWith("builds");
    vi.useRealTimers();
  });
});
