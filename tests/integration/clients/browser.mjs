// Meets a hub in Chromium as a person and as a page's author would: signs in to the page, then uses the client that
// the hub serves, unchanged, on the browser's own WebSocket. Asked: url (of the page), elsewhere (the same page by
// another name, so another origin), account, room, user, password, chromium.

import { asked, endWithTheTest, need, note, say } from "./history.mjs";

const want = asked();
const { chromium } = need("playwright-core");
endWithTheTest();

const saw = (what) => say("mark", { what: `browser ${what}` });

const browser = await chromium.launch({
  executablePath: want.chromium,
  args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
});
const context = await browser.newContext({ ignoreHTTPSErrors: true });
const page = await context.newPage();
page.setDefaultTimeout(60_000);
page.on("pageerror", (error) => saw(`error ${error.message}`));
page.on("console", (message) => note(`console: ${message.text()}`));

try {
  await page.goto(want.url);
  for (const name of ["account", "room", "user", "password"]) await page.fill(`#signin [name="${name}"]`, want[name]);
  await page.click('#signin button[type="submit"]');
  await page.waitForSelector('#connection[data-state="open"]');
  saw("signed in");

  const { account, room, user, password } = want;
  const used = await page.evaluate(useClient, { url: `/${account}/${room}`, user, password, count: 300 });
  note(JSON.stringify(used));
  saw(`got ${used.got} in order, ${used.receipts} receipts, bytes ${used.bytes}, newest ${used.newest}`);
  await page.waitForFunction(() =>
    [...document.querySelectorAll("#cells .cell output")].some((one) => one.textContent === "300"),
  );
  saw("cell shows the newest");

  await page.goto(want.elsewhere);
  const socket = `wss://${new URL(want.url).host}/${account}/${room}`;
  saw(`from elsewhere ${await page.evaluate(tryFrom, { socket, user, password })}`);
  saw("done");
} catch (error) {
  note(error.stack);
  await browser.close();
  process.exit(1);
}
await browser.close();
// What waits for a pipe would be cut off.
process.stdout.write("", () => process.exit(0));

/** In the page. */
async function useClient({ url, user, password, count }) {
  const { connect } = await import("/assets/riser.js");
  const room = connect(url, { credential: { user, password } });
  let newest = 0;
  room.subscribe("browser/#", { flow: "conflate", message: ({ data }) => (newest = data ?? newest) });
  const messages = room.subscribe("browser/#", { window: 50 });
  await room.ready();
  const receipts = [];
  for (let n = 1; n <= count; n += 1) receipts.push(room.publish("browser/n", n));
  receipts.push(room.publish("browser/bytes", new Uint8Array([0, 255, 7])));
  let got = 0;
  let bytes;
  for await (const message of messages) {
    if (message.bytes) {
      bytes = message.bytes.join();
      break;
    }
    if (message.data !== got + 1) throw new Error(`${message.data} after ${got}`);
    got += 1;
  }
  const { length } = (await Promise.all(receipts)).filter(({ pos }) => pos);
  room.close();
  return { got, receipts: length, bytes, newest };
}

/** In a page of another origin. */
async function tryFrom({ socket, user, password }) {
  const { connect } = await import("/assets/riser.js");
  return new Promise((done) => {
    const room = connect(socket, {
      credential: { user, password },
      onState(state, { error }) {
        if (state === "open") done("let in");
        if (state === "waiting") done(error.code);
        if (state === "open" || state === "waiting") room.close();
      },
    });
  });
}
