// What an edge lost before the hub had it, on the page: in the past of a channel, with its cause, whose it was, and that it may be
// another channel's. Asked: as all that look at the page, `room`, a room in which the edge's device said something, `channel`, in
// which it did, and `edge`, the edge's name.

import { judge, look, signIn } from "./chromium.mjs";

await look(async ({ want, open, saw }) => {
  const page = await open();
  await signIn(page, { user: want.user, room: want.room });
  await page.waitForSelector('#connection[data-state="open"]');
  await page.locator("#feed li", { hasText: `entries of ${want.edge} are gone` }).first().waitFor();
  const cell = page.locator("#cells .cell", { hasText: want.channel.split("/").at(-1) });
  await cell.getByRole("button").press("Enter");
  await page.getByRole("dialog", { name: want.channel }).waitFor();
  const told = page.locator('[data-part="gaps"] li', {
    hasText: new RegExp(`[1-9].* gone: .*, of ${want.edge}, perhaps not this channel, told at `),
  });
  for (const from of ["3600000", "start"]) {
    await page.selectOption('[data-part="from"]', from);
    await told.first().waitFor();
    await page.locator('.plot .hole[data-of="edge"]').first().waitFor({ state: "attached" });
  }
  saw("what an edge lost");
  await judge(page, "what an edge lost");
  saw("what an edge lost is clean");
});
