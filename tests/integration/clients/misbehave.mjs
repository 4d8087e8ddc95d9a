// Misbehaves on WebSockets, case by case, and says how each was answered. Asked: url, user, password, cases:
// [{name, path?, protocol?, headers?, login?, send: [text or {b64} or {repeat: [text, times]}]}].
// Marks: "{name} status {n}", "{name} error {code}", "{name} bye {code}", "{name} closed {n}", "{name} open" (it
// was left open for a second after the last answer).

import { asked, endWithTheTest, need, note, say } from "./history.mjs";

const want = asked();
const WebSocket = need("ws");
endWithTheTest();

function run(item) {
  return new Promise((done) => {
    const mark = (what) => say("mark", { what: `${item.name} ${what}` });
    const protocol = item.protocol === undefined ? "riser.v1.json" : item.protocol;
    const url = new URL(item.path ?? "", want.url);
    const socket = new WebSocket(url, protocol === "" ? [] : protocol, {
      headers: item.headers ?? {},
      handshakeTimeout: 8000,
    });
    let left; // the timer that gives an open socket up
    const rest = () => {
      clearTimeout(left);
      left = setTimeout(() => {
        mark("open");
        socket.terminate();
      }, item.patience ?? 1000);
    };
    const misbehave = () => {
      for (const frame of item.send ?? []) send(socket, frame);
    };
    socket.on("open", () => {
      if (item.login) {
        const credential = { user: want.user, password: want.password };
        socket.send(JSON.stringify({ op: "hello", id: 1, credential }));
      }
      else misbehave();
      rest();
    });
    socket.on("message", (data) => {
      rest();
      let message;
      try {
        message = JSON.parse(data.toString());
      } catch {
        return;
      }
      note(`${item.name}: ${JSON.stringify(message).slice(0, 400)}`);
      if (item.login && message.re === 1 && message.ok) misbehave();
      const complete = (problem) => (problem.what && problem.want ? "" : " without what or want");
      if (message.error) mark(`error ${message.error.code}${complete(message.error)}`);
      if (message.ev === "bye") mark(`bye ${message.code}${complete(message)}`);
    });
    socket.on("unexpected-response", (_request, response) => {
      mark(`status ${response.statusCode}`);
      clearTimeout(left);
      response.destroy();
      done();
    });
    socket.on("error", (error) => note(`${item.name}: ${error.message}`));
    socket.on("close", (code) => {
      clearTimeout(left);
      mark(`closed ${code}`);
      done();
    });
  });
}

function send(socket, frame) {
  if (typeof frame === "string") socket.send(frame);
  else if (frame.b64 !== undefined) socket.send(Buffer.from(frame.b64, "base64"));
  else socket.send(frame.repeat[0].repeat(frame.repeat[1]));
}

for (const item of want.cases) await run(item);
say("mark", { what: "misbehaved" });
// What waits for a pipe would be cut off.
process.stdout.write("", () => process.exit(0));
