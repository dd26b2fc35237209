/**
 * The console in a real browser, against a running `espalier up`:
 *
 *   ESPALIER_URL=http://127.0.0.1:7070 ESPALIER_TOKEN_FILE=.espalier/admin-token npm run test:browser
 *
 * Nothing of the fleet is changed. Without a browser or a server the tests are skipped and say so.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { ask, findBrowser, open, readToken } from "./browser.mjs";

const program = findBrowser();
const { ESPALIER_URL: url, ESPALIER_TOKEN_FILE: tokenFile } = process.env;

/** Why nothing can be tested here, if that is so. */
function obstacle() {
  if (!url || !tokenFile) return "set ESPALIER_URL and ESPALIER_TOKEN_FILE to those of a running `espalier up`";
  return program ? false : "there is no Chromium on the PATH; name one with ESPALIER_BROWSER";
}

describe("the console in a browser", { skip: obstacle() }, () => {
  /** @type {import("playwright-core").Browser} */ let browser;
  /** @type {import("playwright-core").Page} */ let page;
  /** What the browser complained of: scripts that fail, and what the content policy forbids. */
  const complaints = [];
  const token = tokenFile ? readToken(tokenFile) : "";
  const at = (path) => new URL(path, url).href;

  before(async () => {
    ({ browser, page } = await open(program));
    page.setDefaultTimeout(15_000);
    page.on("pageerror", (error) => complaints.push(error.message));
    page.on("console", (line) => line.type() === "error" && complaints.push(line.text()));
  });
  after(() => browser?.close());

  test("a wrong token is refused in the server's own words, and the right one opens the door", async () => {
    await page.goto(at("/"));
    await page.getByRole("textbox", { name: "Token" }).fill("espalier_wrong");
    await page.keyboard.press("Enter");
    await page.getByRole("alert").waitFor();
    assert.match(await page.getByRole("alert").innerText(), /token/i);
    complaints.length = 0; // the browser itself complains of the 401 that this test asked for
    await page.getByRole("textbox", { name: "Token" }).fill(token);
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Fleet", level: 2 }).waitFor();
  });

  test("a token in the address signs in and does not stay there", async () => {
    await page.evaluate(() => sessionStorage.clear());
    await page.goto(at("/rollouts"));
    await page.goto(at(`/#token=${token}`));
    await page.reload();
    await page.getByRole("heading", { name: "Fleet", level: 2 }).waitFor();
    assert.ok(!page.url().includes(token), "the token is still in the address");
  });

  test("development keys are said exactly when they are in use", async () => {
    const { trust } = await ask(url, token, "/version");
    const said = page.getByText("Development keys.");
    assert.equal((await said.count()) > 0, trust === "development");
    if (trust !== "development") return;
    const banner = page.getByRole("note").filter({ has: said });
    const ground = await banner.evaluate((banner) => getComputedStyle(banner).backgroundColor);
    assert.notEqual(ground, "rgba(0, 0, 0, 0)", "the built style sheet lost the banner's ground");
  });

  test("every device of the API is in the table, and its page has its name", async () => {
    const { items } = await ask(url, token, "/api/v1/devices");
    await page.goto(at("/fleet"));
    if (items.length === 0) return page.getByText("No devices yet").waitFor();
    for (const device of items) await page.getByRole("link", { name: device.name, exact: true }).first().waitFor();
    await page.goto(at(`/fleet/${items[0].name}`));
    await page.getByRole("heading", { name: items[0].name, level: 2 }).waitFor();
    return undefined;
  });

  test("a device that is not there is said to be not there", async () => {
    await page.goto(at("/fleet/no-such-device"));
    await page.getByRole("alert").waitFor();
    assert.match(await page.getByRole("alert").innerText(), /no-such-device/);
    complaints.length = 0; // of the 404 that this test asked for
  });

  test("rooms are reached by the keyboard alone", async () => {
    await page.goto(at("/fleet"));
    await page.getByRole("heading", { name: "Fleet", level: 2 }).waitFor();
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement?.textContent), "Skip to the page");
    await page.getByRole("link", { name: "Rollouts" }).focus();
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Rollouts", level: 2 }).waitFor();
    assert.equal(await page.title(), "Rollouts · Espalier");
  });

  test("a rollout shows its stages, and what cannot be done says why to a keyboard", async () => {
    const { items } = await ask(url, token, "/api/v1/rollouts");
    const [rollout] = items;
    if (!rollout) return page.getByText("No rollouts yet").waitFor();
    await page.goto(at(`/rollouts/${rollout.id}`));
    for (const stage of rollout.stages) await page.getByRole("img", { name: `Stage ${stage.name}` }).waitFor();
    const refused = rollout.actions.find((action) => !action.allowed);
    if (!refused) return undefined;
    await page.getByRole("button", { name: new RegExp(`^${refused.action}$`, "i") }).focus();
    await page.getByText(refused.reason).waitFor();
    return undefined;
  });

  test("a click on a picture gives a mask, and says where it was computed", async () => {
    const { items } = await ask(url, token, "/api/v1/models");
    await page.goto(at("/try"));
    if (!items.some((model) => model.task === "promptable-segmentation")) {
      return page.getByText("No model to try").waitFor();
    }
    const canvas = page.getByRole("application");
    await canvas.waitFor();
    await canvas.focus();
    await page.keyboard.press("ArrowRight");
    const before = await inked(canvas);
    await page.keyboard.press("Enter");
    await page.getByText("Computed on").waitFor();
    await page.getByText(/^cloud: /).waitFor();
    await page.keyboard.press("ArrowLeft");
    // The dot of the prompt alone would be a few hundred.
    assert.ok((await inked(canvas)) > before + 1000, "no mask was drawn");
    await page.keyboard.press("Escape");
    await page.getByText("Nothing is asked yet").waitFor();
    return undefined;
  });

  test("the dark page is dark", async () => {
    await page.getByRole("button", { name: "Switch to dark" }).click();
    await page.getByRole("button", { name: "Switch to light" }).waitFor();
    const [red] = await page.evaluate(() => getComputedStyle(document.body).backgroundColor.match(/\d+/g).map(Number));
    assert.ok(red < 80, `the background's red is ${red}`);
    await page.getByRole("button", { name: "Switch to light" }).click();
  });

  test("nothing failed in the browser on the way, and its content policy forbade nothing", () => {
    assert.deepEqual(complaints, []);
  });
});

/** How many pixels of a canvas are drawn on. */
function inked(canvas) {
  return canvas.evaluate((/** @type {HTMLCanvasElement} */ canvas) => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let count = 0;
    for (let at = 3; at < data.length; at += 4) count += data[at] > 0 ? 1 : 0;
    return count;
  });
}
