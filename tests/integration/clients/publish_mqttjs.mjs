// Publishes a stream with MQTT.js and says what was acknowledged. Asked: host, port, user, password,
// client_id, version (4 or 5), qos, topic, stream, count, rate (per second, 0 for as fast as it goes), over (protocol
// and path, where it is a WebSocket). One is under way at a time.

import { asked, digest, endWithTheTest, need, note, payload, say } from "./history.mjs";

const want = { version: 5, qos: 1, rate: 0, ...asked() };
endWithTheTest();
const client = need("mqtt").connect({
  host: want.host,
  port: want.port,
  ...want.over,
  username: want.user,
  password: want.password,
  clientId: want.client_id,
  protocolVersion: want.version,
  clean: false,
  reconnectPeriod: 200,
  properties: want.version === 5 ? { sessionExpiryInterval: 3600 } : undefined,
});
client.on("error", (error) => note(`error: ${error}`));
client.on("close", () => note("closed"));
client.once("connect", async () => {
  say("mark", { what: `${want.stream} connected` });
  for (let n = 1; n <= want.count; n += 1) {
    const data = payload(want.stream, n);
    say("offered", { stream: want.stream, n, digest: digest(data) });
    if (want.rate > 0) await new Promise((go) => setTimeout(go, 1000 / want.rate));
    try {
      await client.publishAsync(want.topic, data, { qos: want.qos });
      say("acked", { stream: want.stream, n });
    } catch (error) {
      say("refused", { stream: want.stream, n, code: String(error.code ?? error.message) });
    }
  }
  say("mark", { what: `${want.stream} done` });
  client.end();
  process.stdin.destroy();
});
