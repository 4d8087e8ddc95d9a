// A channel's past on the page, by keyboard alone: the plot, the hole where the room let go of what was there, the
// scrub, the replay and the present. Asked: url, account, user, password, room (one that keeps 20), chromium, picture.

import { judge, look, signIn } from "./chromium.mjs";

const COUNT = 60;

await look(async ({ want, open, saw }) => {
  const page = await open();
  await signIn(page, { user: want.user, room: want.room });
  await page.waitForSelector('#connection[data-state="open"]');
  await judge(page, "an empty room");

  await page.evaluate(publish, { url: `/${want.account}/${want.room}`, user: want.user, password: want.password, count: COUNT });
  const cell = page.locator("#cells .cell", { hasText: "temperature" });
  await cell.getByText(String(COUNT), { exact: true }).waitFor();
  await judge(page, "a room");
  saw("a room is clean");

  // Opened with a key, closed with a key, and the address says what is shown.
  await cell.getByRole("button").focus();
  await page.keyboard.press("Enter");
  const dialog = page.getByRole("dialog", { name: "boiler/temperature" });
  await dialog.waitFor();
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "hidden" });
  await page.keyboard.press("Enter");
  await dialog.waitFor();
  // Opened again before the page has heard that it was closed: it stays what it is.
  await cell.getByRole("button").evaluate((button) => {
    document.querySelector("#past").close();
    button.click();
  });
  await page.evaluate(() => new Promise((heard) => setTimeout(heard)));
  if (!page.url().endsWith(`#${want.account}/${want.room}/boiler%2Ftemperature`)) throw new Error(page.url());
  saw("the past opens by key");

  // Since a moment before anything was here: what the room let go of is a hole that says why and how many.
  await page.selectOption('[data-part="from"]', "3600000");
  const hole = page.locator('.plot [data-cause="retention"]');
  await hole.waitFor({ state: "attached" });
  await page.locator('[data-part="gaps"] li', { hasText: /gone: retention/ }).waitFor();
  await page.locator(".plot .line").first().waitFor({ state: "attached" });
  saw("a hole with its cause");
  await judge(page, "a channel's past");
  saw("the past is clean");

  // The scrub by keyboard: from the first that is left to the newest.
  await page.selectOption('[data-part="from"]', "start");
  await hole.waitFor({ state: "detached" });
  const [scrub, value, live] = ["scrub", "value", "live"].map((part) => page.locator(`[data-part="${part}"]`));
  await value.getByText(String(COUNT), { exact: true }).waitFor();
  await scrub.focus();
  await page.keyboard.press("Home");
  const shown = () => value.textContent();
  const first = Number(await shown());
  if (!(first > 1 && first < COUNT)) throw new Error(`${first} at the beginning of what is left`);
  if ((await live.getAttribute("aria-pressed")) !== "false") throw new Error("it is live at the beginning");
  await page.keyboard.press("End");
  await value.getByText(String(COUNT), { exact: true }).waitFor();
  saw("the scrub moves by key");

  // The replay runs from the moment that is shown up to the present.
  await page.selectOption('[data-part="pace"]', "600");
  await scrub.focus();
  await page.keyboard.press("Home");
  await page.getByRole("button", { name: "Replay" }).press("Enter");
  await page.waitForSelector('[data-part="live"][aria-pressed="true"]');
  await value.getByText(String(COUNT), { exact: true }).waitFor();
  saw("the replay reaches the present");

  // And the present goes on.
  await page.evaluate(publish, { url: `/${want.account}/${want.room}`, user: want.user, password: want.password, from: COUNT + 1, count: COUNT + 1 });
  await value.getByText(String(COUNT + 1), { exact: true }).waitFor();
  saw("the present goes on");

  // Who has the address is shown the same, after signing in.
  const address = page.url();
  const other = await open();
  await other.goto(address);
  for (const [name, text] of [["user", want.user], ["password", want.password]]) await other.fill(`#signin [name="${name}"]`, text);
  await other.keyboard.press("Enter");
  await other.getByRole("dialog", { name: "boiler/temperature" }).waitFor();
  saw("the address shows it again");
});

/** In the page. */
async function publish({ url, user, password, from = 1, count }) {
  const { connect } = await import("/assets/riser.js");
  const room = connect(url, { credential: { user, password } });
  for (let n = from; n <= count; n += 1) await room.publish("boiler/temperature", n);
  room.close();
}
