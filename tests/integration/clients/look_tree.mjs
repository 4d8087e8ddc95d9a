// The edges of a hub as a tree: a card for each, with what is below it. Asked: as all that look at the page, and
// `seen`, how the lowest is: reached or cut.

import { judge, look, signIn } from "./chromium.mjs";

await look(async ({ want, open, saw }) => {
  const page = await open();
  await signIn(page, { user: want.user, room: want.room });
  const card = page.locator('#edges [data-edge="middle"]');
  await card.waitFor();
  const states = { reached: '[data-state="flowing"]', cut: '[data-state="offline"]' };
  await page.locator(`#edges [data-edge="middle"]${states[want.seen]}`).waitFor();
  const below = card.locator(`.below li[data-state="${want.seen}"]`);
  await below.waitFor();
  await below.getByText(/^(cut off, )?[1-9]\d* of [1-9]\d* here$/).waitFor();
  saw("an edge below");
  await judge(page, "the edges");
  saw("the tree is clean");
});
