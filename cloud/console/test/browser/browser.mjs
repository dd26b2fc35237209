/** A real browser that is already on the machine, driven over its own protocol. Nothing is downloaded. */
import { accessSync, constants, readFileSync } from "node:fs";
import { delimiter, join } from "node:path";

import { chromium } from "playwright-core";

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge"];

/** The size of a window on a laptop, and of the pictures in the README. */
export const WINDOW = { width: 1440, height: 900 };

/** The browser named by `ESPALIER_BROWSER`, else the first of its family on the PATH, else none. */
export function findBrowser(env = process.env) {
  if (env.ESPALIER_BROWSER) return env.ESPALIER_BROWSER;
  const folders = (env.PATH ?? "").split(delimiter).filter(Boolean);
  return NAMES.flatMap((name) => folders.map((folder) => join(folder, name))).find(isProgram);
}

function isProgram(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** The token in a file, as `espalier up` writes it. */
export function readToken(file) {
  return readFileSync(file, "utf8").trim();
}

/** Starts the browser with a window in which nothing moves: pictures of it are the same every time. */
export async function open(program, { colorScheme = "light" } = {}) {
  const browser = await chromium.launch({ executablePath: program });
  const context = await browser.newContext({ viewport: WINDOW, colorScheme, reducedMotion: "reduce" });
  return { browser, page: await context.newPage() };
}

/** What a running Espalier says at an address of its API, to compare pages with. */
export async function ask(url, token, path) {
  const answer = await fetch(new URL(path, url), { headers: { authorization: `Bearer ${token}` } });
  if (!answer.ok) throw new Error(`${path} answered with status ${answer.status}: ${await answer.text()}`);
  return answer.json();
}
