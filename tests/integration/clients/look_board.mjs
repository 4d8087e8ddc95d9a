// A board: said, edited by its author and by nobody else, paged backwards; and a room that is ready only when a device is
// there, which a broadcast reaches. Asked: as all that look at the page, `guest`, another member, `board`, a room of kind
// board that waits for `device`, and that device's password in `password` too.

import { judge, look, signIn } from "./chromium.mjs";

const SAID = 75;

await look(async ({ want, open, saw }) => {
  const ann = await open();
  await signIn(ann, { user: want.user, room: want.board });
  await ann.waitForSelector('#connection[data-state="open"]');
  const list = ann.locator("#board .said > li");
  await ann.locator("#board:not([hidden])").waitFor();
  saw("a board");

  // It waits for its device, and says so.
  await ann.locator("#readiness", { hasText: `Not ready: without ${want.device}` }).waitFor();

  // Said by keyboard, with what looks like markup.
  const text = ann.locator('#board [name="text"]');
  await text.fill("<b>first</b> & last");
  await ann.getByRole("button", { name: "Say" }).press("Enter");
  await list.filter({ hasText: "<b>first</b> & last" }).waitFor();
  saw("said");

  // Somebody else sees it, and may not edit it: neither on the page, nor at the server.
  const mia = await open();
  await signIn(mia, { user: want.guest, room: want.board });
  const hers = mia.locator("#board .said > li", { hasText: "<b>first</b>" });
  await hers.waitFor();
  if ((await hers.getByRole("button", { name: /^Edit/ }).count()) !== 0) throw new Error("she may edit it");
  const pos = await hers.getAttribute("data-pos");
  const { guest, password } = want;
  const url = `/${want.account}/${want.board}`;
  const refused = await mia.evaluate(tryEdit, { url, user: guest, password, pos });
  if (refused !== "denied") throw new Error(`her edit: ${refused}`);
  saw("nobody else edits it");

  // Its author may, and everybody sees the other wording in its place.
  const mine = list.filter({ hasText: "<b>first</b>" });
  await mine.getByRole("button", { name: /^Edit/ }).press("Enter");
  await ann.keyboard.press("Control+a");
  await ann.keyboard.type("worded otherwise");
  await judge(ann, "an edit");
  await mine.getByRole("button", { name: "Save" }).press("Enter");
  for (const page of [ann, mia]) {
    const edited = page.locator(`#board .said > li[data-pos="${pos}"]`, { hasText: "worded otherwise" });
    await edited.getByText("edited", { exact: true }).waitFor();
  }
  if ((await list.count()) !== 1) throw new Error("an edit is shown as a message too");
  saw("its author edits it");

  // Much is said after it. Who comes then sees the newest, and goes back page by page to the first, as it is worded now.
  await mia.evaluate(publishMany, { url, user: guest, password, count: SAID });
  await list.filter({ hasText: `line ${SAID}` }).last().waitFor();
  await ann.reload();
  // Whether the hub still knows her by a cookie is asked for after the page is there.
  const door = ann.locator("#signin:not([hidden])");
  await door.or(ann.locator("#floors:not([hidden])")).waitFor();
  if (await door.isVisible()) await signIn(ann, { user: want.user, room: want.board });
  await list.filter({ hasText: `line ${SAID}` }).last().waitFor();
  const first = ann.locator(`#board .said > li[data-pos="${pos}"]`);
  if (await first.isVisible()) throw new Error("all of it is shown at once");
  const earlier = ann.getByRole("button", { name: "Earlier" });
  for (let page = 0; page < 10 && !(await first.isVisible()); page += 1) {
    const before = await list.count();
    await earlier.press("Enter");
    await ann.waitForFunction((count) => document.querySelectorAll("#board .said > li").length > count, before);
  }
  await first.getByText("worded otherwise").waitFor();
  const shown = await list.locator(".text").allTextContents();
  const lines = shown.filter((line) => line.startsWith("line ")).map((line) => Number(line.slice(5)));
  if (lines.length !== SAID || lines.some((n, index) => n !== index + 1)) throw new Error(`${lines}`);
  saw("paged back to the first");
  await judge(ann, "a board");
  saw("a board is clean");

  // The device comes: the room is ready, and what is broadcast reaches it.
  const device = await open();
  await device.goto(want.url);
  await device.evaluate(listen, { url, device: want.device, password });
  await ann.locator("#readiness", { hasText: "Ready" }).waitFor();
  await ann.locator("#feed li", { hasText: "The room is ready" }).first().waitFor();
  saw("ready when its device is there");
  const row = ann.locator("#devices tbody tr", { hasText: want.device });
  await row.getByText("connected").waitFor();
  await ann.fill('#devices [name="text"]', "open the valve");
  await ann.getByRole("button", { name: "Broadcast" }).press("Enter");
  await device.waitForFunction(() => globalThis.heard?.includes("open the valve"));
  await row.locator('td', { hasText: `delivered to ${want.device}` }).waitFor();
  saw("a broadcast reaches the device");
  await judge(ann, "the devices");
  await device.close();
  await ann.locator("#readiness", { hasText: "Not ready" }).waitFor();
  saw("not ready without it");
});

/** In the page. */
async function tryEdit({ url, user, password, pos }) {
  const { connect } = await import("/assets/riser.js");
  const room = connect(url, { credential: { user, password } });
  try {
    await room.edit(pos, "hers now");
    return "done";
  } catch (error) {
    return error.code;
  } finally {
    room.close();
  }
}

/** In the page. */
async function publishMany({ url, user, password, count }) {
  const { connect } = await import("/assets/riser.js");
  const room = connect(url, { credential: { user, password } });
  for (let n = 1; n <= count; n += 1) await room.publish("board", `line ${n}`, { type: "text/plain" });
  room.close();
}

/** In a page of the device's own: listens at its address. */
async function listen({ url, device, password }) {
  const { bytesOf, connect } = await import("/assets/riser.js");
  globalThis.heard = [];
  const room = connect(url, { credential: { user: device, password } });
  const { client } = await room.ready();
  room.subscribe(`${client}/#`, { message: (message) => void globalThis.heard.push(new TextDecoder().decode(bytesOf(message))) });
}
