import { describe, expect, test } from "vitest";

import { readAnswer } from "../src/pages/segment/answer";
import { agentCommand, asks, clicked, dragged } from "../src/pages/segment/prompt";

describe("prompts", () => {
  test("a new object forgets what was asked before", () => {
    const before = dragged([10, 10], [20, 20]);
    expect(clicked(before, "new", 3, 4)).toEqual({ points: [{ x: 3, y: 4, label: "foreground" }] });
    expect(clicked(before, "remove", 3, 4)).toEqual({ ...before, points: [{ x: 3, y: 4, label: "background" }] });
  });

  test("a box dragged from any corner is the same box", () => {
    expect(dragged([20, 5], [10, 15])).toEqual({ points: [], box: [10, 5, 20, 15] });
  });

  test("are told as the agent's command takes them", () => {
    const prompt = clicked(clicked({ points: [] }, "new", 3.4, 4), "remove", 9, 9.6);
    expect(agentCommand(prompt)).toBe("espalier-agent infer PICTURE --point 3,4 --not 9,10 -o mask.png");
    expect(agentCommand(dragged([5, 6], [1, 2]))).toBe("espalier-agent infer PICTURE --box 1,2,5,6 -o mask.png");
  });

  test("only saying what is not meant asks nothing", () => {
    expect(asks(clicked({ points: [] }, "remove", 1, 1))).toBe(false);
    expect(asks(clicked({ points: [] }, "add", 1, 1))).toBe(true);
  });
});

describe("the host's answer", () => {
  const SIZE = { width: 4, height: 3 };
  const good = {
    bundle_digest: "b".repeat(64),
    release_digest: null,
    model_version: "0190",
    masks: [{ rle: { size: [3, 4], counts: "32101OO" }, score: 0.9, area: 5, bbox: [1, 0, 3, 2] }],
    computed_on: { tier: "cloud", name: "host-1" },
    latency_ms: { decode: 1, encode: 2, prompt: 3, total: 6 },
    embedding_cached: true,
  };

  test("is read as it is", () => {
    const answer = readAnswer(good, SIZE);
    expect(answer.computedOn).toEqual({ tier: "cloud", name: "host-1" });
    expect(answer.masks[0]?.area).toBe(5);
    expect(answer.masks[0]?.mask.inside).toHaveLength(12);
    expect(answer.by).toEqual({ kind: "full-model", digest: "b".repeat(64), version: "0190" });
    const [digest, release] = ["b".repeat(64), "d".repeat(64)];
    expect(readAnswer({ ...good, release_digest: release }, SIZE).by).toEqual({ kind: "build", digest, release });
    expect(answer.embeddingCached).toBe(true);
  });

  test("about another picture is refused, not drawn beside what it means", () => {
    expect(() => readAnswer(good, { width: 3, height: 4 })).toThrow(/`size`/);
  });

  test("that lacks something names what", () => {
    expect(() => readAnswer({ ...good, latency_ms: { decode: 1 } }, SIZE)).toThrow(/`encode`/);
    expect(() => readAnswer({ ...good, masks: "none" }, SIZE)).toThrow(/`masks`/);
    expect(() => readAnswer(null, SIZE)).toThrow(/`answer`/);
  });
});
