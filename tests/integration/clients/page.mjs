// Looks at the demo's page in Chromium, as a person would: cells move, a link is cut, the hole and the catching
// up are seen. Asked: url. Each thing seen is a mark; whatever is not seen in time ends the script with an error
// and a picture (asked: picture).

import { judge, look } from "./chromium.mjs";

await look(async ({ want, open, saw }) => {
  const page = await open();
  await page.goto(want.url);
  await page.waitForSelector('#connection[data-state="open"]');
  saw("live");

  // Several cells with a value, and each of them changes.
  await page.waitForFunction(() => document.querySelectorAll("#cells .cell output").length >= 4);
  const values = () => page.$$eval("#cells .cell output", (all) => all.map((one) => one.textContent));
  const before = await values();
  await page.waitForFunction(
    (old) => {
      const now = [...document.querySelectorAll("#cells .cell output")].map((one) => one.textContent);
      return old.filter((value, index) => value !== now[index]).length >= Math.min(3, old.length);
    },
    before,
    { polling: 200 },
  );
  saw("cells move");

  // Both edges flow, and their numbers add up.
  const edges = await page.$$eval("#edges .edge", (all) => all.map((one) => one.dataset.edge));
  if (edges.length < 2) throw new Error(`${edges.length} edges are shown`);
  for (const edge of edges) await page.waitForSelector(`#edges [data-edge="${edge}"][data-state="flowing"]`);
  await page.waitForFunction(() =>
    [...document.querySelectorAll("#edges .sum")].every((one) => one.textContent.includes("adds up")),
  );
  saw("equation adds up");

  // Who is here, and what of the feed is wanted.
  await page.waitForSelector("#people li");
  await page.waitForSelector("#room-list [aria-current=true]");
  await page.waitForSelector("#feed li:not([hidden])");
  await page.selectOption("#feed-kinds", "quarantine");
  await page.waitForSelector("#feed-empty:not([hidden])");
  // What belongs to a group is shown, by kind and by text, and nothing else.
  const shown = () => page.$$eval("#feed li:not([hidden])", (all) => all.map((one) => [one.dataset.kind, one.textContent]));
  await page.selectOption("#feed-kinds", "edges");
  await page.waitForSelector('#feed li[data-kind="edge_online"]:not([hidden])');
  const kinds = new Set((await shown()).map(([kind]) => kind));
  if (kinds.has("started") || kinds.has("joined")) throw new Error(`among edges: ${[...kinds].join()}`);
  await page.fill("#feed-text", edges[0]);
  const named = await shown();
  if (named.length === 0 || named.some(([, text]) => !text.includes(edges[0]))) throw new Error(JSON.stringify(named));
  await page.fill("#feed-text", "nothing says this");
  await page.waitForSelector("#feed-empty:not([hidden])");
  await page.fill("#feed-text", "");
  await page.selectOption("#feed-kinds", "all");
  await page.waitForSelector("#feed-empty", { state: "hidden" });
  if ((await shown()).length <= named.length) throw new Error("all are more than some");
  saw("people and feed");
  await judge(page, "the demo");
  saw("phone");

  // Cut.
  const [cut] = edges;
  const card = `#edges [data-edge="${cut}"]`;
  await page.click(`${card} button:has-text("Cut link")`);
  await page.waitForSelector(`${card}:not([data-state="flowing"])`);
  saw("link is not flowing");
  const other = `#edges [data-edge="${edges[1]}"][data-state="flowing"]`;
  await page.waitForSelector(other);
  saw("other link flows");
  await page.waitForSelector('#cells canvas[aria-label*="not here yet"]');
  saw("hole");
  // How far it is behind at least, and that nobody knows when it will be done.
  const fact = (name) => page.locator(`${card} dl div`, { has: page.locator("dt", { hasText: name }) }).locator("dd");
  await fact("Lag").filter({ hasText: /^≥ ([3-9]|[1-9]\d)(\.\d)? s$/ }).waitFor();
  await fact("Done in").filter({ hasText: /^unknown$/ }).waitFor();
  saw("how far behind");

  // Restore.
  await page.click(`${card} button:has-text("Restore link")`);
  await page.waitForSelector(`${card}[data-state="flowing"]`);
  await page.waitForFunction((name) => {
    const fed = [...document.querySelectorAll("#feed p")].map((one) => one.textContent);
    return fed.some((text) => text.includes(`${name} has caught up`) || text.includes(`${name} is up`));
  }, cut);
  saw("catching up");
  await page.waitForFunction(
    () => ![...document.querySelectorAll("#cells canvas")].some((one) => one.ariaLabel?.includes("not here yet")),
  );
  saw("hole filled");
  await fact("Lag").filter({ hasText: /^(\d+ ms|0\.\d s|[12]\.\d s)$/ }).waitFor();
  await fact("Done in").filter({ hasText: /^–$/ }).waitFor();
  saw("nothing left to do");
  await page.waitForFunction(() =>
    [...document.querySelectorAll("#edges .sum")].every((one) => one.textContent.includes("adds up")),
  );
  saw("equation still adds up");
});
