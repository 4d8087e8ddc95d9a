// A board: said, edited by its author and by nobody else, paged backwards; and a room that is ready only when a device is
// there, which a broadcast reaches. Asked: as all that look at the page, `guest`, another member, `board`, a room of kind
// board that waits for `device`, that device's `secret`, `hubKey`, the hub's public key, and `keyless`, a client with a
// password alone.

import { judge, look, PHONE, signIn } from "./chromium.mjs";

const SAID = 75;
/** The largest payload, bytes. */
const LARGEST = 256 * 1024;

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

  // The device comes: the room is ready. It comes by its secret, and hears bytes as they are, from an admin with a phone; who
  // has nothing but a password hears nothing of it, and is no device.
  const device = await open();
  await device.goto(want.url);
  const { secret, hubKey } = want;
  await device.evaluate(listen, { url, who: want.device, secret, hubKey, account: want.account });
  const keyless = await open();
  await keyless.goto(want.url);
  await keyless.evaluate(listen, { url, who: want.keyless, password });
  await ann.locator("#readiness", { hasText: "Ready" }).waitFor();
  await ann.locator("#feed li", { hasText: "The room is ready" }).first().waitFor();
  saw("ready when its device is there");
  await ann.setViewportSize(PHONE);
  const rows = ann.locator("#devices tbody tr");
  const row = rows.filter({ hasText: want.device });
  await row.getByText("connected").waitFor();
  if ((await rows.filter({ hasText: want.keyless }).count()) !== 0) throw new Error("who has no key is a device");
  const broadcast = ann.getByRole("button", { name: "Broadcast", exact: true });
  await ann.fill('#devices [name="text"]', "open the valve");
  await broadcast.press("Enter");
  const became = (state) => row.locator("td", { hasText: state }).waitFor();
  await became("delivered");
  await ann.locator("#devices", { hasText: "To 1 device: 1 delivered." }).waitFor();
  const send = async (buffer) => {
    await ann.setInputFiles('#devices [name="file"]', { name: "payload", mimeType: "application/octet-stream", buffer });
    await broadcast.press("Enter");
  };
  // All there are, as many as there may be.
  const bytes = Buffer.from(Array.from({ length: LARGEST }, (_, index) => (index * 7) % 256));
  await send(bytes);
  const last = () => device.evaluate(() => globalThis.heard.at(-1));
  const heard = async (count) => void (await device.waitForFunction((n) => globalThis.heard.length === n, count));
  await heard(2);
  if (!Buffer.from(await last(), "base64").equals(bytes)) throw new Error("other bytes");
  // More than that is said to be too much, and nothing is lost by it.
  await send(Buffer.alloc(5 * LARGEST));
  await ann.locator('#devices [role="alert"]', { hasText: `Needed: a payload of at most ${LARGEST} bytes` }).waitFor();
  if ((await ann.locator("#connection").getAttribute("data-state")) !== "open") throw new Error("the room is closed");
  await send(Buffer.from([0, 255, 10]));
  await heard(3);
  if ((await last()) !== "AP8K") throw new Error(await last());
  await became("delivered");
  if ((await keyless.evaluate(() => globalThis.heard.length)) !== 0) throw new Error("who has no key heard it");
  await ann.setViewportSize({ width: 1280, height: 900 });
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

/** In a page of its own: listens at its address, let in by its password or secret. */
async function listen({ url, who, password, secret, hubKey, account }) {
  const { bytesOf, connect } = await import("/assets/riser.js");
  globalThis.heard = [];
  const base64 = (bytes) => btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
  const onPrompt = async ({ nonce }) => {
    const bytes = Uint8Array.from(atob(secret.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
    const key = await crypto.subtle.importKey("raw", bytes, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
    const said = new TextEncoder().encode(`riser gate challenge 2\n${nonce}\n${account}/${who}\n${hubKey}\n`);
    return base64(new Uint8Array(await crypto.subtle.sign("HMAC", key, said)));
  };
  const credential = secret ? { user: who, method: "hmac-sha256" } : { user: who, password };
  const room = connect(url, { credential, onPrompt });
  const { client } = await room.ready();
  room.subscribe(`${client}/#`, { message: (message) => void globalThis.heard.push(base64(bytesOf(message))) });
}
