// What is done in the lobby and in a room's administration beside making: who operates the hub makes and removes accounts, who
// administers an account lets in who knocks and closes connections, everybody has keys, and a room is left to nobody.
// Asked: as all that look at the page, `guest`, a member who administers nothing, `keeper`, who looks after `board` alone,
// `named`, whom the configuration names as an operator, `gated`, a room whose gate is a knock, and `token`, the operator's.

import { judge, look, signIn } from "./chromium.mjs";

await look(async ({ want, open, saw }) => {
  const part = (page, name) => page.locator(`#lobby:not([hidden]) details[data-part="${name}"]:not([hidden])`);
  const ann = await open();
  await signIn(ann, { user: want.user });
  const operating = part(ann, "operating");
  await operating.locator("summary").press("Enter");
  const token = operating.locator('[name="token"]');

  // A guess opens nothing and is not left lying there; the token opens, and neither does it.
  await token.fill("guessed");
  await token.press("Enter");
  await operating.locator('[data-part="operate-form"] .error:not(:empty)').waitFor();
  if ((await token.inputValue()) !== "") throw new Error("what was typed is still there");
  await token.fill(want.token);
  await token.press("Enter");
  const accounts = operating.locator('[data-part="account-list"] li');
  await accounts.filter({ hasText: want.account }).waitFor();
  await operating.locator('[name="account"]').fill("shop");
  await operating.locator('[name="user"]').fill("sue");
  await operating.getByRole("button", { name: "Make the account" }).press("Enter");
  const secret = operating.locator(".once", { hasText: "The password of shop/sue" });
  const password = await secret.locator("code").textContent();
  await accounts.filter({ hasText: "shop" }).waitFor();
  await judge(ann, "the admin lobby");
  const kept = await ann.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, document.documentElement.outerHTML]));
  if (kept.includes(want.token)) throw new Error("the page keeps the operator's token");
  saw("who shows the token makes an account");
  const sue = await open();
  await sue.goto(want.url);
  for (const [name, value] of Object.entries({ account: "shop", user: "sue", password })) await sue.fill(`#signin [name="${name}"]`, value);
  await sue.keyboard.press("Enter");
  await sue.locator("#lobby:not([hidden])").getByText("sue of shop").waitFor();
  const shop = accounts.filter({ hasText: "shop" });
  await shop.getByRole("button", { name: "Remove the account shop" }).press("Enter");
  await shop.getByRole("button", { name: /sure/ }).press("Enter");
  await shop.waitFor({ state: "detached" });
  saw("and removes it");

  // Who leaves the lobby and comes back is asked again.
  await ann.locator(`#lobby [data-room="${want.room}"] button`).press("Enter");
  await ann.waitForSelector('#connection[data-state="open"]');
  await ann.click("#to-lobby");
  await operating.locator("summary").press("Enter");
  await token.waitFor();
  if ((await operating.locator('[data-part="account-list"] li').count()) > 0) throw new Error("accounts are still shown");
  saw("who comes back is asked again");

  // Whom the configuration names types nothing, unless it came by a cookie; everybody else gets nothing by that.
  await token.press("Enter");
  await operating.locator('[data-part="operate-form"] .error:not(:empty)').waitFor();
  const named = await open();
  await signIn(named, { user: want.named });
  await part(named, "operating").locator("summary").press("Enter");
  await part(named, "operating").locator('[name="token"]').press("Enter");
  const named_sees = want.cookies ? '[data-part="operate-form"] .error:not(:empty)' : '[data-part="account-list"] li';
  await part(named, "operating").locator(named_sees).first().waitFor();
  saw("who is named operates without it");

  // One's own keys, and a token that is good once it is made and no more once it is revoked.
  const keys = part(ann, "keys");
  await keys.locator("summary").press("Enter");
  await keys.getByRole("button", { name: "Make a token of your own" }).press("Enter");
  if (want.cookies) {
    await keys.locator(".error:not(:empty)").waitFor();
  } else {
    const once = keys.locator(".once");
    if ((await once.locator("code").textContent()).length < 20) throw new Error("no token");
    await judge(ann, "a key of one's own");
    await once.getByRole("button", { name: /Put away/ }).press("Enter");
    const own = keys.locator("li", { hasText: "token" });
    await own.getByRole("button", { name: /^Revoke/ }).press("Enter");
    await own.getByRole("button", { name: /sure/ }).press("Enter");
    await own.waitFor({ state: "detached" });
  }
  saw("keys of one's own");

  // Who knocks is let in from the lobby, and closed.
  const guest = await open();
  await signIn(guest, { user: want.guest });
  if (await part(guest, "connections").isVisible()) throw new Error("who administers nothing is shown connections");
  await guest.locator(`#lobby [data-room="${want.gated}"] button`).press("Enter");
  await guest.locator(".knocking:not([hidden])").waitFor();
  const connections = part(ann, "connections");
  await connections.locator("summary").press("Enter");
  const knocker = connections.locator("li", { hasText: `of ${want.gated}` });
  await knocker.waitFor();
  await judge(ann, "connections");
  await knocker.getByRole("button", { name: `Let in ${want.guest}` }).press("Enter");
  await guest.waitForSelector('#connection[data-state="open"]');
  await knocker.waitFor({ state: "detached" });
  saw("who knocks is let in from the lobby");
  const before = await connections.locator("li", { hasText: want.guest }).count();
  await connections.locator("li", { hasText: want.guest }).first().getByRole("button", { name: /^Close/ }).press("Enter");
  if (before < 1) throw new Error("nobody to close");
  saw("a connection is closed");

  // In a room: who looks after it invites who is there; who administers the account a new user, whose token is shown once.
  const members = (page) => page.locator('#administration:not([hidden]) details[data-part="members"]');
  const invites = async (page, name) => {
    await members(page).locator('[name="guest"]').fill(name);
    await members(page).getByRole("button", { name: "Invite", exact: true }).press("Enter");
  };
  const keeper = await open();
  await signIn(keeper, { user: want.keeper, room: want.board });
  await members(keeper).locator("summary").press("Enter");
  await invites(keeper, want.guest);
  await members(keeper).locator('[data-part="invited"] p', { hasText: `${want.guest} is invited` }).waitFor();
  await invites(keeper, "zoe");
  await members(keeper).locator('[data-part="invite-form"] .error:not(:empty)').waitFor();
  saw("who looks after a room invites who is there");
  await ann.locator(`#lobby [data-room="${want.board}"] button`).press("Enter");
  await members(ann).locator("summary").press("Enter");
  await invites(ann, "zoe");
  const invited = members(ann).locator(".once", { hasText: "The token of zoe" });
  await invited.waitFor();
  await judge(ann, "an invitation");
  await invited.getByRole("button", { name: /Put away/ }).press("Enter");
  const zoe = members(ann).locator('[data-part="list"] > li', { has: ann.locator("h3", { hasText: "zoe" }) });
  const replace = zoe.getByRole("button", { name: /^Replace token/ });
  await replace.press("Enter");
  await zoe.getByRole("button", { name: /^Replace: sure/ }).press("Enter");
  await zoe.locator(".once", { hasText: "The new token of zoe" }).waitFor();
  saw("a new user is invited, and its token replaced");

  // A room is removed, by who administers the account alone.
  if (await keeper.getByRole("button", { name: "Remove the room" }).isVisible()) throw new Error("who looks after a room may not remove it");
  await ann.click("#to-lobby");
  const making = part(ann, "making");
  await making.locator("summary").press("Enter");
  await making.locator('[data-part="room-form"] [name="name"]').fill("pantry");
  await making.getByRole("button", { name: "Make the room" }).press("Enter");
  const configuration = ann.locator('#administration:not([hidden]) details[data-part="configuration"]');
  await configuration.locator("summary").press("Enter");
  await configuration.getByRole("button", { name: "Remove the room" }).press("Enter");
  await configuration.getByRole("button", { name: /sure/ }).press("Enter");
  await ann.locator("#lobby:not([hidden])").waitFor();
  await ann.locator(`#lobby [data-room="${want.board}"]`).waitFor();
  if ((await ann.locator('#lobby [data-room="pantry"]').count()) > 0) throw new Error("the room is still there");
  saw("a room is removed");
});
