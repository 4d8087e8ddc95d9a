// Signs in with Chromium: the browser's own cookie jar, fetch and WebSocket. Asked: url (of the page), elsewhere (the
// same hub by another name, so another site), account, room, user, password, chromium.

import { asked, endWithTheTest, need, note, say } from "./history.mjs";

const want = asked();
const { chromium } = need("playwright-core");
endWithTheTest();

const saw = (what) => say("mark", { what: `sign-in ${what}` });

const browser = await chromium.launch({
  executablePath: want.chromium,
  args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
});
const page = await (await browser.newContext()).newPage();
page.setDefaultTimeout(60_000);

/** In the page: who is there when hello brings nothing. */
const enter = (path, host = new URL(want.url).host) =>
  page.evaluate(
    ({ path, host }) =>
      new Promise((resolve) => {
        const socket = new WebSocket(`ws://${host}${path}`, "riser.v1.json");
        socket.onopen = () => socket.send('{"op":"hello","id":1,"events":false}');
        socket.onerror = () => resolve("error");
        socket.onmessage = ({ data }) => {
          const { ok, error } = JSON.parse(data);
          resolve(ok ? ok.name : error.code);
        };
      }),
    { path, host },
  );

/** In the page: what a request is answered. */
const ask = (method, path, body) =>
  page.evaluate(
    async ({ method, path, body }) => {
      const headers = body ? { "content-type": "application/json" } : {};
      const response = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
      const text = await response.text();
      return `${response.status} ${text ? (JSON.parse(text).name ?? JSON.parse(text).error.code) : ""}`.trim();
    },
    { method, path, body },
  );

try {
  const room = `/${want.account}/${want.room}`;
  await page.goto(want.url);
  saw(`before: ${await enter(room)}`);
  const user = `${want.account}/${want.user}`;
  saw(`signed in: ${await ask("POST", "/api/login", { user, password: want.password })}`);
  saw(`script sees: ${await page.evaluate(() => document.cookie)}`);
  saw(`socket: ${await enter(room)}`);
  saw(`whoami: ${await ask("GET", "/api/login")}`);
  await page.goto(want.elsewhere);
  saw(`from elsewhere: ${await enter(room)}`);
  await page.goto(want.url);
  saw(`signed out: ${await ask("POST", "/api/logout")}`);
  saw(`after: ${await enter(room)}`);
  saw("done");
} catch (error) {
  note(error.stack);
  await browser.close();
  process.exit(1);
}
await browser.close();
// What waits for a pipe would be cut off.
process.stdout.write("", () => process.exit(0));
