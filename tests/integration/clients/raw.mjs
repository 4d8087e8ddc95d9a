// A WebSocket without a sub-protocol: what is sent is published byte for byte, what arrives are payloads.
// Asked: url (ws://host:port/account/room/channel), user, password, reader; optionally publish: {stream,
// count}.

import { asked, delivered, digest, endWithTheTest, need, note, payload, say } from "./history.mjs";

const want = asked();
const WebSocket = need("ws");
endWithTheTest();

const login = Buffer.from(`${want.user}:${want.password}`).toString("base64");
const socket = new WebSocket(want.url, { headers: { authorization: `Basic ${login}` } });
socket.on("open", () => {
  say("mark", { what: `${want.reader} ready` });
  for (let n = 1; n <= (want.publish?.count ?? 0); n += 1) {
    const data = payload(want.publish.stream, n);
    say("offered", { stream: want.publish.stream, n, digest: digest(data) });
    socket.send(data.toString());
  }
});
socket.on("message", (data) => delivered(want.reader, data));
socket.on("unexpected-response", (_request, response) => {
  say("mark", { what: `${want.reader} status ${response.statusCode}` });
});
socket.on("error", (error) => note(`error: ${error.message}`));
socket.on("close", (code) => say("mark", { what: `${want.reader} closed ${code}` }));
