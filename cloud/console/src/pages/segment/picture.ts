/** A picture that was chosen, as the page shows it and as the server gets it: the very same pixels. */

export type Picture = {
  name: string;
  /** An object URL; to be revoked with {@link forget}. */
  url: string;
  width: number;
  height: number;
  /** The same picture, base64, without a data URL's head. */
  base64: string;
};

/** Larger pictures are made smaller before they are sent: models see 1024 pixels a side at most. */
const LONG_SIDE = 1600;
const JPEG_QUALITY = 0.92;

/**
 * Draws a file upright at a bounded size and encodes what was drawn, so that a click's pixel here is the
 * same pixel there, whatever the file said of its orientation.
 */
export async function load(file: Blob, name: string): Promise<Picture> {
  const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" }).catch(() => {
    throw new Error(`${name} is no picture that this browser can read. Choose a JPEG, PNG or WebP.`);
  });
  const scale = Math.min(1, LONG_SIDE / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  canvas.getContext("2d")?.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return encode(canvas, name, file.type === "image/png" ? "image/png" : "image/jpeg");
}

/** The picture on a canvas. */
export async function encode(canvas: HTMLCanvasElement, name: string, type: string): Promise<Picture> {
  const blob = await new Promise<Blob | null>((done) => canvas.toBlob(done, type, JPEG_QUALITY));
  if (!blob) throw new Error("The browser could not encode the picture.");
  return { name, url: URL.createObjectURL(blob), width: canvas.width, height: canvas.height, base64: await base64(blob) };
}

export function forget(picture: Picture): void {
  URL.revokeObjectURL(picture.url);
}

async function base64(blob: Blob): Promise<string> {
  const address = await new Promise<string>((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done(String(reader.result));
    reader.onerror = () => failed(reader.error ?? new Error("The picture could not be read."));
    reader.readAsDataURL(blob);
  });
  return address.slice(address.indexOf(",") + 1);
}
