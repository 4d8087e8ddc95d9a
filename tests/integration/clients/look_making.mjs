// Who administers the account makes a room, a user and a client on the page, and adds a credential; each secret is shown once.
// Asked: as all that look at the page, `guest`, a member who administers nothing.

import { judge, look, signIn } from "./chromium.mjs";

await look(async ({ want, open, saw }) => {
  const lobby = (page) => page.locator("#lobby:not([hidden])");
  const ann = await open();
  await signIn(ann, { user: want.user });
  const making = lobby(ann).locator('[data-part="making"]:not([hidden])');
  await making.locator("summary").press("Enter");
  const [room, member] = ["room-form", "member-form"].map((name) => making.locator(`[data-part="${name}"]`));

  // A user with a password that the hub makes: it is shown once, and is good.
  await member.locator('[name="name"]').fill("zed");
  await member.locator('[name="role"]').selectOption("member");
  await member.locator('[name="groups"]').fill("night, ops");
  await member.getByRole("button", { name: "Make it" }).press("Enter");
  const once = making.locator(".once", { hasText: "The password of zed" });
  const password = await once.locator("code").textContent();
  await judge(ann, "what is made");
  await once.getByRole("button", { name: "Put away" }).press("Enter");
  await once.waitFor({ state: "detached" });
  const zed = await open();
  await zed.goto(want.url);
  for (const [name, value] of Object.entries({ account: want.account, user: "zed", password })) await zed.fill(`#signin [name="${name}"]`, value);
  await zed.keyboard.press("Enter");
  await lobby(zed).getByText("zed of").waitFor();
  saw("a user with a password that is shown once");

  // Its name is taken now, and the hub says so; a client without a credential is made all the same.
  await member.locator('[name="name"]').fill("zed");
  await member.getByRole("button", { name: "Make it" }).press("Enter");
  await member.locator(".error:not(:empty)").waitFor();
  await member.locator('[name="member"]').selectOption("client");
  await member.locator('[name="name"]').fill("gauge");
  await member.locator('[name="role"]').selectOption("device");
  await member.locator('[name="credential"]').selectOption("");
  await member.getByRole("button", { name: "Make it" }).press("Enter");
  await making.getByText("gauge is there, and has no credential yet").waitFor();
  saw("a name that is taken is refused, a client is made");

  // Who administers nothing is shown no forms, and is refused by the hub.
  const mia = await open();
  await signIn(mia, { user: want.guest });
  await lobby(mia).getByText(`${want.guest} of`).waitFor();
  if (await mia.locator('[data-part="making"]').isVisible()) throw new Error("who may make nothing is shown how");
  const statuses = await mia.evaluate(tries, want.account);
  if (statuses.some((status) => status !== 401 && status !== 404)) throw new Error(JSON.stringify(statuses));
  saw("who administers nothing makes nothing");

  // A room, into which one goes at once; there a credential is added.
  await room.locator('[name="name"]').fill("attic");
  await room.locator('[name="kind"]').selectOption("board");
  await room.getByRole("button", { name: "Make the room" }).press("Enter");
  await ann.waitForSelector('#connection[data-state="open"]');
  if (!(await ann.evaluate(() => location.hash)).endsWith("/attic")) throw new Error(await ann.evaluate(() => location.hash));
  await ann.locator("#board:not([hidden])").waitFor();
  saw("a room is made and entered");
  const members = ann.locator('#administration:not([hidden]) details[data-part="members"]');
  await members.locator("summary").press("Enter");
  const gauge = members.locator("li", { has: ann.locator("h3", { hasText: "gauge" }) }).first();
  await gauge.locator("select").nth(2).selectOption("token");
  await gauge.getByRole("button", { name: "Add a credential of gauge" }).press("Enter");
  const token = gauge.locator(".once", { hasText: "The token of gauge" });
  if ((await token.locator("code").textContent()).length < 20) throw new Error("no token");
  await judge(ann, "a credential that is shown once");
  await token.getByRole("button", { name: "Put away" }).press("Enter");
  await gauge.getByText(/^token [0-9a-f]{16}/).waitFor();
  await gauge.locator("select").nth(2).selectOption("key");
  await gauge.getByLabel("Value, if it is not to be made").fill("no key");
  await gauge.getByRole("button", { name: "Add a credential of gauge" }).press("Enter");
  await gauge.locator(".error:not(:empty)").waitFor();
  saw("a credential is added and shown once");
  await ann.click("#to-lobby");
  await making.waitFor();
  if ((await ann.locator(".once").count()) > 0) throw new Error("a secret is still there");
});

/** What somebody is answered who tries all the same. */
async function tries(account) {
  const ask = (path, body) => fetch(`/api/admin/v1/accounts/${account}/${path}`, {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
  });
  const asked = [ask("rooms", { name: "evil" }), ask("users", { name: "evil" }), ask("clients", { name: "evil" }), ask("members/zed/credentials", { kind: "token" })];
  return (await Promise.all(asked)).map(({ status }) => status);
}
