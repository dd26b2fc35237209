/** The model host's answer. It passes through the cloud unread, so it is checked here. */
import { type Mask, type Rle, unpack } from "./rle";

export type MaskAnswer = { mask: Mask; score: number; area: number };
export type Latency = { decode: number; encode: number; prompt: number; total: number };
export type Answer = {
  /** Best score first. */
  masks: MaskAnswer[];
  computedOn: { tier: string; name: string };
  by: Author;
  latency: Latency;
  embeddingCached: boolean;
};

/** Whose bytes computed it: a build's, as it was released, or a full model's. */
export type Author =
  | { kind: "build"; digest: string; release: string }
  | { kind: "full-model"; digest: string; version: string | undefined };

/** What the masks must fit. */
export type Size = { width: number; height: number };

type Json = Record<string, unknown>;

/** Reads an answer about a picture of `size`, or says what is wrong with it. */
export function readAnswer(json: unknown, size: Size): Answer {
  const answer = object(json, "answer");
  const on = object(answer["computed_on"], "computed_on");
  const latency = object(answer["latency_ms"], "latency_ms");
  return {
    masks: list(answer["masks"], "masks").map((mask) => readMask(mask, size)),
    computedOn: { tier: text(on["tier"], "tier"), name: text(on["name"], "name") },
    by: readAuthor(answer),
    latency: {
      decode: number(latency["decode"], "decode"),
      encode: number(latency["encode"], "encode"),
      prompt: number(latency["prompt"], "prompt"),
      total: number(latency["total"], "total"),
    },
    embeddingCached: answer["embedding_cached"] === true,
  };
}

function readAuthor({ bundle_digest, release_digest, model_version }: Json): Author {
  const digest = text(bundle_digest, "bundle_digest");
  if (typeof release_digest === "string") return { kind: "build", digest, release: release_digest };
  // A host that serves a folder, not the registry, knows of no version.
  return { kind: "full-model", digest, version: typeof model_version === "string" ? model_version : undefined };
}

function readMask(json: unknown, { width, height }: Size): MaskAnswer {
  const answer = object(json, "mask");
  const rle = object(answer["rle"], "rle");
  const [rows, columns] = list(rle["size"], "size");
  // A mask of another size would lie beside what it means.
  if (rows !== height || columns !== width) throw wrong("size");
  const packed: Rle = { size: [height, width], counts: text(rle["counts"], "counts") };
  return {
    mask: unpack(packed),
    score: number(answer["score"], "score"),
    area: number(answer["area"], "area"),
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

function text(json: unknown, what: string): string {
  if (typeof json !== "string") throw wrong(what);
  return json;
}
