// The edges of a hub as a tree: a card for each, with what is below it by name. Asked: as all that look at the page, and
// `seen`, how the lowest is: flowing, or unknown below one that is away.

import { judge, look, signIn } from "./chromium.mjs";

await look(async ({ want, open, saw }) => {
  const page = await open();
  await signIn(page, { user: want.user, room: want.room });
  const card = page.locator('#edges [data-edge="middle"]');
  await card.waitFor();
  const states = { flowing: '[data-state="flowing"]', unknown: '[data-state="offline"]' };
  await page.locator(`#edges [data-edge="middle"]${states[want.seen]}`).waitFor();
  const below = card.locator(`.below li[data-state="${want.seen}"]`);
  await below.waitFor();
  await below.getByText("edge", { exact: true }).waitFor();
  await below.getByText(/ · [1-9]\d* of [1-9]\d* here$/).waitFor();
  saw("an edge below");
  await judge(page, "the edges");
  saw("the tree is clean");
});
