import { describe, expect, test } from "vitest";

import { runs, unpack } from "../src/pages/segment/rle";

describe("COCO run lengths", () => {
  test("large, small and negative differences are read", () => {
    expect(runs("534O6")).toEqual([5, 3, 4, 2, 10]);
    expect(runs("0122R3NmLWo02")).toEqual([0, 1, 2, 3, 100, 1, 1, 1000, 3]);
    expect(runs("61X1m0mNTO")).toEqual([6, 1, 40, 30, 5, 2]);
  });

  test("columns come first, so an asymmetric mask is not transposed", () => {
    const mask = unpack({ size: [3, 4], counts: "32101OO" });
    expect([...mask.inside]).toEqual([0, 1, 1, 0, 0, 1, 1, 1, 0, 0, 0, 0]);
  });

  test("runs that leave the picture are refused, not written", () => {
    expect(() => unpack({ size: [2, 2], counts: "0X1" })).toThrow(/do not fit/);
  });

  test("a size that would exhaust the tab is refused", () => {
    expect(() => unpack({ size: [1_000_000, 1_000_000], counts: "0" })).toThrow(/cannot be shown/);
    expect(() => unpack({ size: [0, 5], counts: "0" })).toThrow(/cannot be shown/);
  });
});
