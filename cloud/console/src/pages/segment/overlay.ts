/** Drawing a mask and a prompt over a picture. */
import type { Prompt } from "./prompt";
import type { Mask } from "./rle";

/** Blue is rare in parts and in skin; the white edge shows it on blue as well. */
const FILL = [51, 136, 255, 120] as const;
const EDGE = [255, 255, 255, 255] as const;

/** The mask's pixels with its edge, as an image of the picture's size. */
export function maskImage({ height, width, inside }: Mask): ImageData {
  const image = new ImageData(width, height);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const at = y * width + x;
      if (inside[at] !== 1) continue;
      image.data.set(isEdge(inside, width, height, x, y) ? EDGE : FILL, 4 * at);
    }
  }
  return image;
}

function isEdge(inside: Uint8Array, width: number, height: number, x: number, y: number): boolean {
  if (x === 0 || y === 0 || x === width - 1 || y === height - 1) return true;
  const at = y * width + x;
  return !(inside[at - 1] && inside[at + 1] && inside[at - width] && inside[at + width]);
}

/** Draws the prompt: points as dots (green: the object, red: not the object), the box as a frame. */
export function drawPrompt(pen: CanvasRenderingContext2D, prompt: Prompt, unit: number): void {
  pen.lineWidth = 2 * unit;
  if (prompt.box) {
    const [x0, y0, x1, y1] = prompt.box;
    pen.strokeStyle = "#ffffff";
    pen.setLineDash([6 * unit, 4 * unit]);
    pen.strokeRect(x0, y0, x1 - x0, y1 - y0);
    pen.setLineDash([]);
  }
  for (const point of prompt.points) {
    pen.beginPath();
    pen.arc(point.x, point.y, 6 * unit, 0, 2 * Math.PI);
    pen.fillStyle = point.label === "foreground" ? "#1fa35f" : "#e03131";
    pen.fill();
    pen.strokeStyle = "#ffffff";
    pen.stroke();
  }
}

/** Draws the keyboard's cross-hair. */
export function drawCrosshair(pen: CanvasRenderingContext2D, x: number, y: number, unit: number): void {
  pen.strokeStyle = "#ffffff";
  pen.lineWidth = 1.5 * unit;
  pen.beginPath();
  pen.moveTo(x - 14 * unit, y);
  pen.lineTo(x + 14 * unit, y);
  pen.moveTo(x, y - 14 * unit);
  pen.lineTo(x, y + 14 * unit);
  pen.stroke();
}
