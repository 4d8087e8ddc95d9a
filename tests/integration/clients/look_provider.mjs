// People sign in on the page by way of a provider of OpenID Connect. Asked: as all that look at the page, and `guest`, somebody
// who is a user too, `providers`, what its two ways are called, and `gone`, a way that is no more.

import { judge, look } from "./chromium.mjs";

await look(async ({ want, open, saw }) => {
  /** A window in which somebody has gone to a provider. */
  const go = async (called, room = "") => {
    const page = await open();
    await page.goto(want.url);
    await page.fill('#signin [name="room"]', room);
    await page.fill('#signin [name="account"]', want.account);
    await page.keyboard.press("Tab");
    const button = page.getByRole("button", { name: `Sign in with ${called}` });
    await button.waitFor();
    if (called === want.providers[0]) await judge(page, "the sign-in with providers");
    await button.press("Enter");
    await page.waitForURL((url) => url.href.includes("/interaction/"));
    return page;
  };
  const sayWho = async (page, name) => {
    await page.fill('input[name="login"]', name);
    await page.fill('input[name="password"]', "any");
    await page.click('button[type="submit"]');
    await page.waitForFunction(() => document.querySelector('input[name="login"]') === null);
    if (page.url().includes("/interaction/")) await page.click('button[type="submit"]');
  };
  const lobby = (page) => page.locator("#lobby:not([hidden])");

  const ann = await go(want.providers[0]);
  await sayWho(ann, want.user);
  await lobby(ann).getByText(want.user).first().waitFor();
  const query = await ann.evaluate(() => location.search);
  if (query !== "") throw new Error(`the address keeps ${query}`);
  saw("signed in by a provider");
  await ann.reload();
  await lobby(ann).getByText(want.user).first().waitFor();
  await ann.click("#leave");
  await ann.waitForSelector("#signin:not([hidden])");
  saw("signed out");

  const mia = await go(want.providers[1], want.room);
  await sayWho(mia, want.guest);
  await mia.waitForSelector('#connection[data-state="open"]');
  if (!(await mia.evaluate(() => location.hash)).endsWith(`/${want.room}`)) throw new Error(mia.url());
  saw("straight into a room, where the hub has a secret");

  const nobody = await go(want.providers[0]);
  await sayWho(nobody, "nobody");
  await nobody.locator("#signin-error", { hasText: "you are not known here" }).waitFor();
  saw("who is not known here is not let in");

  const shy = await go(want.providers[0]);
  await shy.getByText("Cancel").click();
  await shy.locator("#signin-error", { hasText: "The provider did not let you in" }).waitFor();
  saw("who says no there is told so");

  // A code that another browser was given, as somebody would who wants it to be signed in as him.
  const evil = await go(want.providers[0]);
  const goesBack = evil.waitForRequest((request) => request.url().includes("/api/login/back"));
  await sayWho(evil, want.guest);
  const stolen = (await goesBack).url();
  const victim = await open();
  await victim.goto(stolen);
  await victim.locator("#signin-error", { hasText: "was not begun in this browser" }).waitFor();
  const begun = await go(want.providers[0]);
  await begun.goto(stolen);
  await begun.locator("#signin-error", { hasText: "was not begun in this browser" }).waitFor();
  saw("a code of another browser signs nobody in");
});
