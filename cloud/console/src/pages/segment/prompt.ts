/** Prompts in pixels of the picture, as the API takes them. */

export type Label = "foreground" | "background";
export type Point = { x: number; y: number; label: Label };
export type Box = [x0: number, y0: number, x1: number, y1: number];
export type Prompt = { points: Point[]; box?: Box };

/** A pointer that moved less than this many screen pixels clicked; more, and it dragged a box. */
export const CLICK_SLACK = 5;

/** What a click adds to. */
export type Mode = "new" | "add" | "remove";

/** The prompt after a click. A new object forgets what was asked before. */
export function clicked(prompt: Prompt, mode: Mode, x: number, y: number): Prompt {
  const point: Point = { x, y, label: mode === "remove" ? "background" : "foreground" };
  return mode === "new" ? { points: [point] } : { ...prompt, points: [...prompt.points, point] };
}

/** The prompt of a dragged box, whichever corner it was begun at. */
export function dragged(from: [number, number], to: [number, number]): Prompt {
  const [x0, x1] = [Math.min(from[0], to[0]), Math.max(from[0], to[0])];
  const [y0, y1] = [Math.min(from[1], to[1]), Math.max(from[1], to[1])];
  return { points: [], box: [x0, y0, x1, y1] };
}

/** Whether there is anything to ask. */
export function asks(prompt: Prompt): boolean {
  return prompt.box !== undefined || prompt.points.some((point) => point.label === "foreground");
}

/** The same question to a gateway or a device, by its own command. */
export function agentCommand({ points, box }: Prompt): string {
  const place = (...pixels: number[]) => pixels.map((pixel) => Math.round(pixel)).join(",");
  const asked = points.map(({ x, y, label }) => `--${label === "foreground" ? "point" : "not"} ${place(x, y)}`);
  if (box) asked.push(`--box ${place(...box)}`);
  return ["espalier-agent infer PICTURE", ...asked, "-o mask.png"].join(" ");
}
