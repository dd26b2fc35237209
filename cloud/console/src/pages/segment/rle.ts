/**
 * COCO's compressed run lengths (cocodataset/cocoapi, `maskApi.c`): column-major runs that alternate
 * between outside and inside, each but the first two stored as the difference to the run two before it,
 * in a base-32 text whose digits start at `0`.
 */

export type Rle = { size: [height: number, width: number]; counts: string };

/** A mask in row-major order, 1 inside, as an `ImageData` wants it. */
export type Mask = { height: number; width: number; inside: Uint8Array };

/** The most pixels that are unpacked: what stands in an answer must not exhaust the tab. */
const MAX_PIXELS = 64 * 1024 * 1024;

const FIRST_DIGIT = 48;

export function unpack({ size: [height, width], counts }: Rle): Mask {
  const pixels = height * width;
  if (!(pixels > 0 && pixels <= MAX_PIXELS)) throw new Error(`a mask of ${height} × ${width} cannot be shown`);
  const inside = new Uint8Array(pixels);
  let place = 0;
  let value = 0;
  for (const run of runs(counts)) {
    const end = place + run;
    if (run < 0 || end > pixels) throw new Error("the mask's runs do not fit its size");
    for (; value === 1 && place < end; place += 1) {
      inside[(place % height) * width + Math.floor(place / height)] = 1;
    }
    place = end;
    value = 1 - value;
  }
  return { height, width, inside };
}

/** The run lengths in a text. */
export function runs(text: string): number[] {
  const lengths: number[] = [];
  let at = 0;
  while (at < text.length) {
    let value = 0;
    let shift = 0;
    let digit: number;
    do {
      digit = text.charCodeAt(at) - FIRST_DIGIT;
      value |= (digit & 0x1f) << shift;
      shift += 5;
      at += 1;
    } while (digit & 0x20 && at < text.length);
    // The last digit's highest bit is the sign.
    if (digit & 0x10) value |= -1 << shift;
    lengths.push(lengths.length > 2 ? value + (lengths[lengths.length - 2] ?? 0) : value);
  }
  return lengths;
}
