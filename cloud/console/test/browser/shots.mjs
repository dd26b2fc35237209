/**
 * Pictures of a running Espalier's console, for the README:
 *
 *   npm run shots -- --url http://127.0.0.1:7070 --token-file .espalier/admin-token --out DIR
 *                    [--dark] [--image FILE --point X,Y]
 *
 * Writes fleet.png, rollout.png (the newest rollout) and segment.png (a mask over --image, clicked at --point, else over
 * the page's own first scene).
 */
import { mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { ask, findBrowser, open, readToken } from "./browser.mjs";

/** What a repository should have to carry. */
const MOST_BYTES = 300 * 1024;

/** A hexagonal nut in the page's first scene. */
const SCENE_POINT = "259,353";

const { values } = parseArgs({
  options: {
    url: { type: "string" },
    "token-file": { type: "string" },
    out: { type: "string" },
    dark: { type: "boolean", default: false },
    image: { type: "string" },
    point: { type: "string", default: SCENE_POINT },
  },
});

try {
  await shoot();
} catch (error) {
  console.error(`shots: ${error.message}`);
  process.exitCode = 1;
}

async function shoot() {
  const program = findBrowser();
  if (!values.url || !values["token-file"] || !values.out) throw new Error("--url, --token-file and --out are needed");
  if (!program) throw new Error("there is no Chromium on the PATH; name one with ESPALIER_BROWSER");
  mkdirSync(values.out, { recursive: true });
  const token = readToken(values["token-file"]);
  const { browser, page } = await open(program, { colorScheme: values.dark ? "dark" : "light" });
  try {
    await page.goto(new URL(`/#token=${token}`, values.url).href);
    await fleet(page);
    await rollout(page, token);
    await segment(page);
  } finally {
    await browser.close();
  }
}

async function fleet(page) {
  await page.getByRole("table", { name: "Devices" }).waitFor();
  await picture(page, "fleet.png");
}

async function rollout(page, token) {
  const { items } = await ask(values.url, token, "/api/v1/rollouts");
  const newest = items.toSorted((a, b) => b.created_at.localeCompare(a.created_at))[0];
  if (!newest) throw new Error("there is no rollout to show; start one");
  await page.goto(new URL(`/rollouts/${newest.id}`, values.url).href);
  await page.getByRole("table", { name: "Devices of this rollout" }).waitFor();
  await picture(page, "rollout.png");
}

async function segment(page) {
  await page.goto(new URL("/try", values.url).href);
  const canvas = page.getByRole("application");
  await canvas.waitFor();
  if (values.image) {
    const shown = page.locator(".picture img");
    const scene = await shown.getAttribute("src");
    await page.locator("input[type=file]").setInputFiles(values.image);
    await page.waitForFunction((scene) => document.querySelector(".picture img")?.getAttribute("src") !== scene, scene);
  }
  await canvas.click({ position: await onScreen(canvas, values.point) });
  await page.getByText("Computed on").waitFor();
  await picture(page, "segment.png");
}

/** Where a pixel of the picture is on the canvas as it is shown. */
async function onScreen(canvas, point) {
  const [x, y] = point.split(",").map(Number);
  const { width, height, shown } = await canvas.evaluate((/** @type {HTMLCanvasElement} */ canvas) => ({
    width: canvas.width,
    height: canvas.height,
    shown: { width: canvas.clientWidth, height: canvas.clientHeight },
  }));
  return { x: (x / width) * shown.width, y: (y / height) * shown.height };
}

async function picture(page, name) {
  await page.getByRole("status").filter({ hasText: /^live$/ }).waitFor();
  await page.mouse.move(0, 0);
  const path = join(values.out, name);
  await page.screenshot({ path, animations: "disabled" });
  const { size } = statSync(path);
  if (size > MOST_BYTES) throw new Error(`${path} has ${size} bytes; at most ${MOST_BYTES} are wanted`);
  console.log(`${path}  ${Math.round(size / 1024)} KiB`);
}
