/** A drawn scene to try the page with: parts on a belt, a new one for every seed. */
import { encode, type Picture } from "./picture";

const WIDTH = 768;
const HEIGHT = 512;
const PARTS = 7;
const METALS = ["#c9ccd1", "#b08d57", "#7f8c9b", "#d8d2c4", "#a34c3a", "#4f7d6b"];

/** Small and even enough for placing parts (Mulberry32, public domain by Tommy Ettinger). */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** Draws the scene of a seed. */
export async function drawScene(seed: number): Promise<Picture> {
  const canvas = document.createElement("canvas");
  canvas.width = WIDTH;
  canvas.height = HEIGHT;
  const pen = canvas.getContext("2d");
  if (!pen) throw new Error("The browser cannot draw.");
  const random = generator(seed);
  drawBelt(pen);
  for (let part = 0; part < PARTS; part += 1) drawPart(pen, random, part);
  return encode(canvas, `scene ${seed}`, "image/png");
}

function drawBelt(pen: CanvasRenderingContext2D) {
  const belt = pen.createLinearGradient(0, 0, 0, HEIGHT);
  belt.addColorStop(0, "#2b2f33");
  belt.addColorStop(0.5, "#3c4146");
  belt.addColorStop(1, "#26292c");
  pen.fillStyle = belt;
  pen.fillRect(0, 0, WIDTH, HEIGHT);
  pen.strokeStyle = "rgba(255,255,255,0.05)";
  pen.lineWidth = 3;
  for (let x = 0; x < WIDTH; x += 32) {
    pen.beginPath();
    pen.moveTo(x, 0);
    pen.lineTo(x - 24, HEIGHT);
    pen.stroke();
  }
}

function drawPart(pen: CanvasRenderingContext2D, random: () => number, place: number) {
  const x = ((place % 4) + 0.5 + (random() - 0.5) * 0.5) * (WIDTH / 4);
  const y = (Math.floor(place / 4) + 0.5 + (random() - 0.5) * 0.4) * (HEIGHT / 2);
  const size = 45 + random() * 40;
  pen.save();
  pen.translate(x, y);
  pen.rotate(random() * Math.PI);
  pen.shadowColor = "rgba(0,0,0,0.6)";
  pen.shadowBlur = 14;
  pen.shadowOffsetY = 6;
  pen.fillStyle = METALS[Math.floor(random() * METALS.length)] ?? "#c9ccd1";
  pen.fill(outline(random, size), "evenodd");
  pen.restore();
}

/** A washer, a plate with holes, or a hexagonal nut. */
function outline(random: () => number, size: number): Path2D {
  const path = new Path2D();
  const kind = Math.floor(random() * 3);
  if (kind === 0) {
    path.arc(0, 0, size, 0, 2 * Math.PI);
    path.moveTo(size * 0.45, 0);
    path.arc(0, 0, size * 0.45, 0, 2 * Math.PI);
  } else if (kind === 1) {
    path.roundRect(-size * 1.2, -size * 0.6, size * 2.4, size * 1.2, size * 0.2);
    for (const side of [-0.8, 0.8]) {
      path.moveTo(side * size + size * 0.18, 0);
      path.arc(side * size, 0, size * 0.18, 0, 2 * Math.PI);
    }
  } else {
    for (let corner = 0; corner < 6; corner += 1) {
      const angle = (corner * Math.PI) / 3;
      path.lineTo(size * Math.cos(angle), size * Math.sin(angle));
    }
    path.closePath();
    path.moveTo(size * 0.5, 0);
    path.arc(0, 0, size * 0.5, 0, 2 * Math.PI);
  }
  return path;
}
