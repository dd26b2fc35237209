/** The model host's answer. It passes through the cloud unread, so it is checked here. */
import type { Rle } from "./rle";

export type MaskAnswer = { rle: Rle; score: number; area: number };
export type Latency = { decode: number; encode: number; prompt: number; total: number };
export type Answer = {
  masks: MaskAnswer[];
  computedOn: { tier: string; name: string };
  latency: Latency;
  embeddingCached: boolean;
};

type Json = Record<string, unknown>;

/** Reads an answer, or says what is wrong with it. */
export function readAnswer(json: unknown): Answer {
  const answer = object(json, "answer");
  const on = object(answer["computed_on"], "computed_on");
  const latency = object(answer["latency_ms"], "latency_ms");
  return {
    masks: list(answer["masks"], "masks").map(readMask),
    computedOn: { tier: String(on["tier"]), name: String(on["name"]) },
    latency: {
      decode: number(latency["decode"], "decode"),
      encode: number(latency["encode"], "encode"),
      prompt: number(latency["prompt"], "prompt"),
      total: number(latency["total"], "total"),
    },
    embeddingCached: answer["embedding_cached"] === true,
  };
}

function readMask(json: unknown): MaskAnswer {
  const mask = object(json, "mask");
  const rle = object(mask["rle"], "rle");
  const [height, width] = list(rle["size"], "size");
  return {
    rle: { size: [number(height, "height"), number(width, "width")], counts: String(rle["counts"]) },
    score: number(mask["score"], "score"),
    area: number(mask["area"], "area"),
  };
}

function wrong(what: string): Error {
  return new Error(`The model host's answer has no usable \`${what}\`.`);
}

function object(json: unknown, what: string): Json {
  if (typeof json !== "object" || json === null || Array.isArray(json)) throw wrong(what);
  return json as Json;
}

function list(json: unknown, what: string): unknown[] {
  if (!Array.isArray(json)) throw wrong(what);
  return json;
}

function number(json: unknown, what: string): number {
  if (typeof json !== "number" || !Number.isFinite(json)) throw wrong(what);
  return json;
}
