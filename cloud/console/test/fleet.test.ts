import { describe, expect, test } from "vitest";

import { matches, needsAttention, standing, summary } from "../src/pages/fleet/fleet";
import { readLabels, writeLabels } from "../src/pages/fleet/labelText";
import { history, sentence } from "../src/pages/rollouts/history";
import { segments } from "../src/pages/rollouts/rollout";
import { device, event, rollout } from "./examples";

const SLOT = { release: "r", release_digest: "d".repeat(64), bundle: "b1" };

describe("the fleet", () => {
  test("one failed model outweighs those that serve", () => {
    const both = device({
      models: [
        { model: "a", phase: "active" },
        { model: "b", phase: "rolled-back", failure: "golden-mismatch" },
      ],
    });
    expect(standing(both)).toEqual({ state: "rolled-back", reason: "golden-mismatch" });
    expect(needsAttention(both)).toBe(true);
  });

  test("a device that serves an older bundle does not serve what is wanted", () => {
    const wanted = { ...SLOT, bundle: "b2", sequence: 3 };
    const behind = device({ models: [{ model: "a", desired: wanted, active: SLOT }] });
    const there = device({ models: [{ model: "a", desired: { ...wanted, bundle: "b1" }, active: SLOT }] });
    expect(summary([behind, there, device()]).serving).toBe(1);
  });

  test("every searched word must be found somewhere", () => {
    const gated = device({ gateway: "gate-1" });
    expect(matches(gated, "all", "GATE-1 north")).toBe(true);
    expect(matches(gated, "all", "gate-1 south")).toBe(false);
    expect(matches(gated, "gateway", "")).toBe(false);
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

  test("tells its events as sentences, those of later versions as well", () => {
    const told = (kind: string, payload: object) => sentence(event(1, kind, payload), ["canary", "rest"]);
    expect(told("assignment.active", { device: "camera-07" })).toBe("camera-07 serves the release");
    expect(told("assignment.gone-fishing", { device: "camera-07" })).toBe("camera-07 gone fishing");
    expect(told("rollout.running", { stage: 1 })).toBe("The rollout is running, stage rest");
    expect(told("rollout.completed", { stage: null })).toBe("The rollout is completed");
  });
});
