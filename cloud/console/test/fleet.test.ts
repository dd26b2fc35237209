import { describe, expect, test } from "vitest";

import { matches, needsAttention, standing, summary } from "../src/pages/fleet/fleet";
import { readLabels, writeLabels } from "../src/pages/fleet/labelText";
import { inventoryFacts } from "../src/pages/fleet/inventory";
import { history } from "../src/pages/rollouts/history";
import { gate, segments, taken } from "../src/pages/rollouts/rollout";
import { sentence } from "../src/ui/sentence";
import { assignment, device, event, rollout, served, stage } from "./examples";

const NOW = Date.parse("2026-03-01T12:00:00Z");
const SLOT = { release: "r", release_digest: "d".repeat(64), bundle: "b1" };

describe("the fleet", () => {
  test("one failed model outweighs those that serve", () => {
    const both = device({
      models: [
        { model: "a", phase: "active" },
        { model: "b", phase: "rolled-back", failure: "golden-mismatch" },
      ],
    });
    expect(standing(both)).toEqual({ state: "rolled-back", reason: "golden mismatch" });
    expect(needsAttention(both, NOW)).toBe(true);
  });

  test("a device that serves an older bundle does not serve what is wanted", () => {
    const wanted = { ...SLOT, bundle: "b2", sequence: 3 };
    const behind = device({ models: [{ model: "a", desired: wanted, active: SLOT }] });
    const there = device({ models: [{ model: "a", desired: { ...wanted, bundle: "b1" }, active: SLOT }] });
    expect(summary([behind, there, device()], NOW).serving).toBe(1);
  });

  test("what was refused yesterday is history, not news", () => {
    const refused = (at: string) => device({ refused: [{ attack: "wrong-key", detail: "signed by a stranger", at }] });
    expect(needsAttention(refused("2026-03-01T11:00:00Z"), NOW)).toBe(true);
    expect(needsAttention(refused("2026-02-28T11:00:00Z"), NOW)).toBe(false);
  });

  test("what a device says about itself is told in units, unknown facts as they are", () => {
    const facts = inventoryFacts({ memory_bytes: 2 ** 31, providers: ["cuda", "cpu"], later: { a: 1 } });
    expect(facts).toEqual([
      ["memory", "2.00 GiB"],
      ["providers", "cuda, cpu"],
      ["later", '{"a":1}'],
    ]);
  });

  test("every searched word must be found somewhere", () => {
    const gated = device({ gateway: "gate-1" });
    expect(matches(gated, "all", "GATE-1 north", NOW)).toBe(true);
    expect(matches(gated, "all", "gate-1 south", NOW)).toBe(false);
    expect(matches(gated, "gateway", "", NOW)).toBe(false);
  });
});

describe("labels", () => {
  test("survive being typed", () => {
    const labels = { site: "north", note: "a=b", spare: "" };
    expect(readLabels(writeLabels(labels))).toEqual(labels);
  });

  test("a tag without a name is no label", () => {
    expect(readLabels(["=x"])).toBeNull();
    expect(readLabels(["north"])).toBeNull();
  });
});

describe("a rollout", () => {
  test("shows only the parts of a stage that there are", () => {
    const parts = segments({ ...rollout().counts, underway: 0 });
    expect(parts.map((part) => part.name)).toEqual(["active", "failed", "waiting"]);
    const reverted = segments({ ...rollout().counts, total: 1, pending: 0, underway: 0, active: 0, failed: 0, phases: { returned: 1 } });
    expect(reverted.map((part) => part.name)).toEqual(["back on what they kept"]);
    const stuck = { withdrawn: 2, "return-failed": 1, "return-silent": 3 };
    const counted = segments({ ...rollout().counts, total: 6, pending: 0, underway: 0, active: 0, failed: 0, phases: stuck });
    expect(counted.map(({ name, count }) => [name, count])).toEqual([
      ["left as they are", 2],
      ["not back", 4],
    ]);
  });

  test("a device that came and went back is counted once, at its last word", () => {
    const moved = (id: number, phase: string, device: string) => event(id, `assignment.${phase}`, { device });
    const log = [
      event(1, "rollout.running", { stage: 0 }),
      moved(2, "active", "a"),
      moved(3, "active", "b"),
      moved(4, "rolled-back", "a"),
    ];
    expect(history(log).active).toEqual([0, 1, 2, 1]);
    expect(history(log).failed).toEqual([0, 0, 0, 1]);
  });

  test("says when a stage passes and stops, and how long a device has", () => {
    expect(gate(stage())).toBe("Passes at 100 % serving, pauses above 5 % failed. A device has 1 h 30 min.");
  });

  test("counts bytes and time only of devices that serve", () => {
    const back = { ...served("c", 0, 0), goal: "return" } as const;
    const rows = [served("a", 100, 4000), served("b", 50, 1000), back, assignment({ state: "untold" })];
    expect(taken(rows)).toEqual({ wire: 150, serving: 2500 });
    expect(taken([])).toEqual({ wire: 0, serving: undefined });
  });

  test("tells its events as sentences, those of later versions as well", () => {
    const told = (kind: string, payload: object) => sentence(event(1, kind, payload), ["canary", "rest"]);
    expect(told("assignment.active", { device: "camera-07" })).toBe("camera-07 serves the release");
    expect(told("assignment.gone-fishing", { device: "camera-07" })).toBe("camera-07 gone fishing");
    expect(told("rollout.running", { stage: 1 })).toBe("The rollout is running, stage rest");
    expect(told("rollout.completed", { stage: null })).toBe("The rollout is completed");
    const refused = { ...event(1, "device.refused", { attack: "wrong-key" }), subject: "default/camera-07" };
    expect(sentence(refused, [])).toBe("camera-07 refused what it was offered: wrong key");
    expect(told("weather.changed", {})).toBe("weather changed");
  });
});
