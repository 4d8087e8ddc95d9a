// A dashboard on the `ws` package: subscribes in envelope mode, resumes from its own position after every
// cut, checks that each push continues where the last ended, and says what was delivered. It may publish a
// stream too. Asked: url (ws://host:port/account/room), user, password, reader, channels, from, flow;
// optionally publish: {stream, channel, count}, technical (room or account, to hear events as well; since, from where on),
// session (what it publishes is replayed to whoever joins, until it ends).

import { asked, delivered, digest, endWithTheTest, need, note, payload, say } from "./history.mjs";

const want = { channels: "#", from: "start", flow: "credit", ...asked() };
const WebSocket = need("ws");
endWithTheTest();

const SESSION = 1_000_000; // the id of the request for session history
let position; // the last one seen; undefined before the first
let published = 0; // how many of the own stream have a receipt
let stopped = false;

function open() {
  const socket = new WebSocket(want.url, "riser.v1.json");
  const send = (message) => socket.send(JSON.stringify(message));
  socket.on("open", () => {
    const hearing = want.technical ? [{ sub: 2, technical: want.technical, from: want.since }] : [];
    const from = position === undefined ? want.from : { after: position };
    send({
      op: "hello",
      id: 1,
      credential: { user: want.user, password: want.password },
      subscriptions: [{ sub: 1, channels: want.channels, from, flow: want.flow }, ...hearing],
    });
  });
  socket.on("message", (data) => hear(JSON.parse(data.toString()), send));
  socket.on("error", (error) => note(`error: ${error.message}`));
  socket.on("close", (code, reason) => {
    say("mark", { what: `${want.reader} closed ${code}` });
    note(`closed: ${code} ${reason}`);
    if (code >= 4100 && code < 4200) stopped = true;
    if (!stopped) setTimeout(open, 200);
  });
}

function hear(message, send) {
  if (message.error) {
    say("mark", { what: `${want.reader} error ${message.error.code}` });
    note(JSON.stringify(message));
    return;
  }
  if (message.re === 1) {
    const [started] = message.ok.subscriptions;
    if (started.error) {
      say("mark", { what: `${want.reader} error ${started.error.code}` });
      return;
    }
    if (position === undefined) position = started.pos;
    for (const gap of started.gaps) enterGap(gap);
    say("mark", { what: `${want.reader} ready` });
    say("mark", { what: `${want.reader} ${started.complete}` });
    if (want.session) send({ op: "session", id: SESSION });
    else if (want.publish) publishNext(send);
    return;
  }
  if (message.re === SESSION) {
    if (want.publish) publishNext(send);
    return;
  }
  if (message.re !== undefined) {
    published += 1;
    say("acked", { stream: want.publish.stream, n: published });
    publishNext(send);
    return;
  }
  switch (message.ev) {
    case "msg":
      if (message.latest) return;
      // In credit flow every push says where it continues; a difference is a hole that nobody announced.
      if (want.flow === "credit" && message.prev !== position) {
        say("mark", { what: `${want.reader} torn` });
        note(`at ${position}, pushed ${JSON.stringify(message)}`);
      }
      position = message.pos;
      delivered(want.reader, bytes(message), message.pos);
      break;
    case "gap":
      enterGap(message);
      position = message.pos;
      break;
    case "event":
      say("mark", { what: `${want.reader} event ${message.event.type.replace("riser.", "")}` });
      if (message.event.data.name) {
        say("mark", { what: `${want.reader} event ${message.event.type.replace("riser.", "")} of ${message.event.data.name}` });
      }
      break;
    case "ping":
      // Others' publications in the log move a subscription too: through is where it is.
      position = message.through["1"] ?? position;
      break;
    case "wiped":
      say("mark", { what: `${want.reader} wiped` });
      break;
    case "bye":
      say("mark", { what: `${want.reader} bye ${message.code}` });
      break;
    default:
      note(`unknown push: ${JSON.stringify(message)}`);
  }
}

function publishNext(send) {
  const { stream, channel, count } = want.publish;
  const n = published + 1;
  if (n > count) {
    say("mark", { what: `${stream} done` });
    return;
  }
  const data = payload(stream, n);
  say("offered", { stream, n, digest: digest(data) });
  // Each stream is a producer of its own: the same again would be taken for sent again.
  const producer = parseInt(digest(Buffer.from(stream)).slice(0, 8), 16);
  send({ op: "publish", id: n + 1, channel, data: JSON.parse(data.toString()), publish_id: { producer, n } });
}

// The payload as it was published: what is JSON or text by its content type is not base64.
function bytes(message) {
  if (message.data_b64 !== undefined) return Buffer.from(message.data_b64, "base64");
  return Buffer.from(typeof message.data === "string" ? message.data : JSON.stringify(message.data));
}

function enterGap(gap) {
  note(`gap: ${JSON.stringify(gap)}`);
  say("gap", { reader: want.reader, cause: gap.cause, count: gap.count ?? gap.to - gap.from + 1 });
}

open();
