// Signing in, the lobby, a room whose gate asks an admin, and the admin who is asked, each in a browser of its own.
// Asked: as all that look at the page, `guest`, another user, and `gated`, a room whose gate is a knock.

import { judge, look, signIn } from "./chromium.mjs";

await look(async ({ want, open, saw }) => {
  // Who is wrong hears so, and no more.
  const owner = await open();
  await owner.goto(want.url);
  await owner.waitForSelector("#signin:not([hidden])");
  await judge(owner, "the sign-in");
  for (const [name, text] of [["account", want.account], ["user", want.user], ["password", "wrong"]]) {
    await owner.fill(`#signin [name="${name}"]`, text);
  }
  await owner.keyboard.press("Enter");
  await owner.locator("#signin-error:not([hidden])").waitFor();
  saw("a wrong password");

  // By keyboard from the form into the lobby, and from there into a room.
  await owner.fill('#signin [name="password"]', want.password);
  await owner.keyboard.press("Enter");
  const rooms = owner.locator("#lobby [data-room]");
  await rooms.first().waitFor();
  await owner.locator(`#lobby [data-room="${want.gated}"]`, { hasText: "has a gate" }).waitFor();
  saw("the lobby shows rooms");
  await judge(owner, "the lobby");
  const enter = owner.locator(`#lobby [data-room="${want.room}"] button`);
  await enter.focus();
  await owner.keyboard.press("Enter");
  await owner.waitForSelector('#connection[data-state="open"]');
  await owner.locator("#floors:not([hidden])").waitFor();
  saw("a room by keyboard");

  // A guest knocks and waits; the admin sees it, wherever it is, and lets it in.
  const guest = await open();
  await signIn(guest, { user: want.guest });
  await guest.locator(`#lobby [data-room="${want.gated}"] button`).click();
  await guest.locator(".knocking", { hasText: `You knocked at ${want.gated}` }).waitFor();
  await judge(guest, "who waits");
  saw("who knocks waits");
  const knocker = owner.locator("#gate-list li", { hasText: want.guest });
  await knocker.waitFor();
  await judge(owner, "who stands at the gate");
  await knocker.getByRole("button", { name: `Let in ${want.guest}` }).press("Enter");
  await guest.waitForSelector('#connection[data-state="open"]');
  await guest.locator("#people li", { hasText: want.guest }).waitFor();
  await knocker.waitFor({ state: "detached" });
  saw("the admin lets it in");

  // Back to the lobby, and once more: this time it is turned away, and hears why.
  await guest.getByRole("button", { name: "Lobby", exact: true }).click();
  await guest.locator(`#lobby [data-room="${want.gated}"] button`).click();
  await guest.locator(".knocking:not([hidden])").waitFor();
  await knocker.getByRole("button", { name: `Turn away ${want.guest}` }).press("Enter");
  await guest.locator('#lobby [data-part="said"]:not([hidden])').waitFor();
  await guest.locator(".knocking").waitFor({ state: "hidden" });
  saw("the admin turns it away");

  // Where the hub gives cookies, who comes again is still signed in; and is not after signing out.
  const isCookie = (await guest.context().cookies()).length > 0;
  if (isCookie !== want.cookie) throw new Error(`a cookie: ${isCookie}`);
  await guest.reload();
  await guest.waitForSelector(isCookie ? "#lobby:not([hidden])" : "#signin:not([hidden])");
  if (isCookie) {
    await guest.getByRole("button", { name: "Sign out" }).click();
    await guest.waitForSelector("#signin:not([hidden])");
    await guest.reload();
    await guest.waitForSelector("#signin:not([hidden])");
    saw("signed out");
  }
});
