// Subscribes with MQTT.js and says what was delivered. Asked: host, port, user, password, client_id, version,
// qos, filter, reader, over (protocol and path, where it is a WebSocket).

import { asked, delivered, endWithTheTest, need, note, say } from "./history.mjs";

const want = { version: 5, qos: 1, ...asked() };
endWithTheTest();
const client = need("mqtt").connect({
  host: want.host,
  port: want.port,
  ...want.over,
  username: want.user,
  password: want.password,
  clientId: want.client_id,
  protocolVersion: want.version,
  reconnectPeriod: 200,
});
client.on("error", (error) => {
  note(`error: ${error}`);
  say("mark", { what: `${want.reader} refused ${error.code ?? error.message}` });
});
client.on("message", (_topic, data) => delivered(want.reader, data));
client.on("connect", async () => {
  try {
    await client.subscribeAsync(want.filter, { qos: want.qos });
    say("mark", { what: `${want.reader} ready` });
  } catch (error) {
    say("mark", { what: `${want.reader} refused ${error.message}` });
  }
});
