// The quarantine of an account: listed, shown, released with a reason and seen in the room, given up; and nobody sees it who
// does not administer the account. Asked: as all that look at the page, `room`, for which two entries were meant that an
// edge may not bring, with the values 61.5 and 62.5, and `guest`, who administers nothing.

import { judge, look, signIn } from "./chromium.mjs";

await look(async ({ want, open, saw }) => {
  const page = await open();
  await signIn(page, { user: want.user, room: want.room });
  await page.waitForSelector('#connection[data-state="open"]');
  const lies = page.locator("#detained > li");
  await lies.nth(1).waitFor();
  for (const part of ["forbidden", "denied"]) await lies.first().getByText(part).first().waitFor();
  const told = page.locator('#feed li[data-kind="quarantined"]');
  await told.first().waitFor();
  saw("what lies there");
  await judge(page, "the quarantine");
  saw("the quarantine is clean");

  const guest = await open();
  await signIn(guest, { user: want.guest, room: want.room });
  await guest.waitForSelector('#connection[data-state="open"]');

  const first = lies.first();
  await first.locator("summary").press("Enter");
  await first.locator("pre", { hasText: "61.5" }).waitFor();
  saw("what it says");

  // Without a reason nothing happens.
  const cell = page.locator("#cells > li", { hasText: "forbidden" });
  const button = (item, name) => item.getByRole("button", { name });
  await button(first, "Release").press("Enter");
  if (!(await first.locator('[name="reason"]:invalid').count())) throw new Error("released without a reason");
  await first.locator('[name="reason"]').fill("granted since");
  await button(first, "Release").press("Enter");
  await cell.locator("output", { hasText: "61.5" }).waitFor();
  const said = (kind, text) => page.locator(`#feed li[data-kind="${kind}"]`, { hasText: text });
  await said("released", `${want.user} released an entry to ${want.room}/`).filter({ hasText: "granted since" }).waitFor();
  saw("released with a reason");

  if ((await lies.count()) !== 1) throw new Error("it lies there still");
  await lies.first().locator('[name="reason"]').fill("of no use");
  await button(lies.first(), "Drop").press("Enter");
  await said("dropped", "of no use").waitFor();
  await page.locator("#quarantine").waitFor({ state: "hidden" });
  if (!(await cell.locator("output", { hasText: "61.5" }).count())) throw new Error("what was given up is shown");
  saw("given up with a reason");

  // By now the guest has seen what was released, and nothing of the rest.
  await guest.locator("#cells > li", { hasText: "forbidden" }).locator("output", { hasText: "61.5" }).waitFor();
  for (const kind of ["quarantined", "released", "dropped"]) {
    if (await guest.locator(`#feed li[data-kind="${kind}"]`).count()) throw new Error(`the guest was told of what is ${kind}`);
  }
  if (await guest.locator("#quarantine:not([hidden])").count()) throw new Error("the guest sees the quarantine");
});
