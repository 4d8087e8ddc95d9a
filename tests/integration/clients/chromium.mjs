// A browser as a person has it, for the scripts that look at the page: signs in, notes what goes wrong in the page,
// shrinks to a phone, and has axe-core judge what is shown. What is not seen in time ends the script with an error
// and a picture (asked: picture).

import { readFileSync } from "node:fs";
import { asked, endWithTheTest, need, note, say } from "./history.mjs";

const PATIENCE_MS = 60_000;
/** The narrowest phone that is looked at, CSS pixels. */
export const PHONE = { width: 360, height: 740 };
const DESK = { width: 1280, height: 900 };

const want = asked();
const { chromium } = need("playwright-core");
const axe = readFileSync(need.resolve("axe-core/axe.min.js"), "utf8");

/** Runs what is to be seen, with a page in hand. */
export async function look(what) {
  endWithTheTest();
  const browser = await chromium.launch({
    executablePath: want.chromium,
    args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
  });
  const wrong = [];
  const pages = [];
  /** A window of somebody else's: nothing is shared with the others. */
  const open = async ({ phone = false } = {}) => {
    const context = await browser.newContext(phone ? { viewport: PHONE, hasTouch: true, isMobile: true } : { viewport: DESK });
    const page = await context.newPage();
    page.setDefaultTimeout(PATIENCE_MS);
    page.on("pageerror", (error) => wrong.push(`error: ${error.message}`));
    page.on("console", (message) => {
      // A refusal that a script asked for is on the console as a failed request too.
      if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) wrong.push(message.text());
    });
    pages.push(page);
    return page;
  };
  try {
    await what({ want, open, saw: (seen) => say("mark", { what: `page ${seen}` }) });
    if (wrong.length > 0) throw new Error(wrong.join("\n"));
    say("mark", { what: "page done" });
  } catch (error) {
    note(`${error.stack}\n${wrong.join("\n")}`);
    const last = pages.at(-1);
    await last?.screenshot({ path: want.picture }).catch(() => {});
    for (const page of pages) note(await page.evaluate(() => document.body.innerText).catch(() => ""));
    await browser.close();
    process.exit(1);
  }
  await browser.close();
  // What waits for a pipe would be cut off.
  process.stdout.write("", () => process.exit(0));
}

/** Signs in as somebody. */
export async function signIn(page, { user, room = "" }) {
  await page.goto(want.url);
  const fields = { account: want.account, room, user, password: want.password };
  for (const [name, value] of Object.entries(fields)) await page.fill(`#signin [name="${name}"]`, value);
  await page.keyboard.press("Enter");
}

/** Nothing that axe-core objects to by WCAG 2.2 A and AA, at a desk and on a phone, and no wider than the phone. */
export async function judge(page, where) {
  for (const size of [DESK, PHONE]) {
    await page.setViewportSize(size);
    // Not with something half under the bar that stays: nobody presses it there.
    await page.evaluate(() => scrollTo(0, 0));
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    if (wide > size.width) throw new Error(`${where}: ${wide} pixels wide where ${size.width} are there`);
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() =>
      globalThis.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }),
    );
    const found = violations.flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) => `${id}: ${html}\n${failureSummary}`));
    if (found.length > 0) throw new Error(`${where} at ${size.width}:\n${found.join("\n")}`);
  }
  await page.setViewportSize(DESK);
}
