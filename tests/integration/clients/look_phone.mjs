// The page as somebody has it in a hand: every step on the narrowest phone, by touch, and nothing wider than that. Asked: as
// all that look at the page, and `room`, one with history.

import { judge, look, PHONE } from "./chromium.mjs";

const COUNT = 30;

await look(async ({ want, open, saw }) => {
  const page = await open({ phone: true });
  const fits = async (where) => {
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    if (wide > PHONE.width) throw new Error(`${where}: ${wide} pixels wide`);
  };
  await page.goto(want.url);
  const fields = { account: want.account, user: want.user, password: want.password };
  for (const [name, value] of Object.entries(fields)) await page.fill(`#signin [name="${name}"]`, value);
  await page.locator('#signin [type="submit"]').tap();
  await page.locator("#lobby").getByRole("button", { name: want.room, exact: true }).tap();
  await page.waitForSelector('#connection[data-state="open"]');
  await fits("a room");
  saw("into a room by touch");

  await page.evaluate(publish, { url: `/${want.account}/${want.room}`, user: want.user, password: want.password, count: COUNT });
  const cell = page.locator("#cells .cell", { hasText: "temperature" });
  await cell.getByText(String(COUNT), { exact: true }).waitFor();
  await page.fill("#filter", "press");
  await cell.waitFor({ state: "hidden" });
  await page.locator("#cells .cell", { hasText: "pressure" }).waitFor();
  await page.fill("#filter", "");
  await cell.waitFor();
  saw("a channel is found");

  // The feed, by kind and by text.
  await page.selectOption("#feed-kinds", "people");
  const shown = page.locator("#feed li:not([hidden])");
  await shown.filter({ hasText: `${want.user} joined` }).first().waitFor();
  await page.fill("#feed-text", "joined");
  const texts = await shown.locator("p").allTextContents();
  if (texts.length === 0 || texts.some((text) => !text.includes("joined"))) throw new Error(texts.join());
  await page.fill("#feed-text", "");
  await page.selectOption("#feed-kinds", "hub");
  await shown.filter({ hasText: "The hub began" }).first().waitFor();
  if ((await shown.filter({ hasText: "joined" }).count()) !== 0) throw new Error("people among what the hub says");
  await page.selectOption("#feed-kinds", "all");
  await fits("the feed");
  saw("the feed is filtered");

  // The past, its scrub and back.
  await cell.getByRole("button").tap();
  const dialog = page.getByRole("dialog", { name: "boiler/temperature" });
  await dialog.waitFor();
  await page.selectOption('[data-part="from"]', "start");
  const value = page.locator('[data-part="value"]');
  await value.getByText(String(COUNT), { exact: true }).waitFor();
  await page.locator('[data-part="scrub"]').tap({ position: { x: 4, y: 8 } });
  await page.waitForFunction((last) => Number(document.querySelector('[data-part="value"]').textContent) < last, COUNT);
  await page.locator('[data-part="live"]').tap();
  await value.getByText(String(COUNT), { exact: true }).waitFor();
  await fits("the past");
  await page.locator('[data-part="close"]').tap();
  await dialog.waitFor({ state: "hidden" });
  saw("the past by touch");

  await page.locator("#to-lobby").tap();
  await page.locator("#lobby:not([hidden])").waitFor();
  await page.locator("#leave").tap();
  await page.locator("#signin:not([hidden])").waitFor();
  saw("out again");
  await judge(page, "signing in");
});

/** In the page. */
async function publish({ url, user, password, count }) {
  const { connect } = await import("/assets/riser.js");
  const room = connect(url, { credential: { user, password } });
  await room.publish("boiler/pressure", 1);
  for (let n = 1; n <= count; n += 1) await room.publish("boiler/temperature", n);
  room.close();
}
