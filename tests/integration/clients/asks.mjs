// Enters a room in envelope mode, asks one request after the other, each after the answer to the one before, and says
// every answer and every event that comes without being asked for. Asked: url (ws://host:port/account/room), user,
// password, reader, requests, hello (more fields for it); with `stays` it stays when all is answered.

import { asked, endWithTheTest, need, note, say } from "./history.mjs";

const want = { hello: {}, requests: [], stays: false, ...asked() };
const WebSocket = need("ws");
endWithTheTest();

const mark = (what) => say("mark", { what: `${want.reader} ${what}` });
const socket = new WebSocket(want.url, "riser.v1.json");
let next = 0;

function ask() {
  if (next === want.requests.length) {
    mark("done");
    if (!want.stays) socket.close(1000);
    return;
  }
  socket.send(JSON.stringify({ id: next + 2, ...want.requests[next] }));
  next += 1;
}

socket.on("open", () => {
  const credential = { user: want.user, password: want.password };
  socket.send(JSON.stringify({ op: "hello", id: 1, credential, ...want.hello }));
});
socket.on("message", (data) => {
  const message = JSON.parse(data.toString());
  note(data.toString());
  if (message.ev === "event") mark(`heard ${message.scope} ${message.event.type}`);
  const of = message.event?.data?.publish_id;
  if (of) mark(`heard ${message.event.type} of ${of.producer}/${of.n}`);
  if (message.ev) return;
  if (message.re > 1 || message.error) mark(`answer ${message.re} ${JSON.stringify(message.ok ?? message.error)}`);
  if (message.re === 1) mark("ready");
  ask();
});
socket.on("close", () => {
  if (!want.stays) process.exit(0);
});
