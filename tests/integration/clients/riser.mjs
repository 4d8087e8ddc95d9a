// The project's own client, as pages and programs import it, on the `ws` package or (native) on the runtime's own
// WebSocket: one scenario by its name. Asked: scenario, url (ws://host:port/account/room), user, password, native,
// and what the scenario wants.

import { once } from "node:events";
import { connect as dial, createServer } from "node:net";
import { bytesOf, connect } from "../../../hub/assets/riser.js";
import { asked, delivered, digest, endWithTheTest, need, note, payload, say } from "./history.mjs";

const want = { options: {}, readers: [], ...asked() };
const WebSocket = want.native ? globalThis.WebSocket : need("ws");
endWithTheTest();

const mark = (what) => say("mark", { what });

/** What came over the wire, beside what the client makes of it: messages by subscription, and attempts. */
const wire = { messages: {}, attempts: 0 };

class Counted extends WebSocket {
  constructor(...given) {
    super(...given);
    wire.attempts += 1;
    this.addEventListener("message", ({ data }) => {
      const { ev, sub } = JSON.parse(data);
      if (ev === "msg") wire.messages[sub] = (wire.messages[sub] ?? 0) + 1;
    });
  }
}

/** Ends the process when all that was said is out: what waits for a pipe would be cut off. */
function leave() {
  process.stdout.write("", () => process.exit(0));
}

function enter(given = {}, url = want.url) {
  return connect(url, {
    WebSocket: Counted,
    credential: { user: want.user, password: want.password },
    backoffMaxMs: 500,
    onError: (error) => mark(`handler failed: ${error}`),
    onState(state, { error }) {
      note(`${state} ${error ?? ""}`);
      mark(`state ${state}`);
      if (error) mark(`state ${state} ${error.code}`);
    },
    ...want.options,
    ...given,
  });
}

/** A cable to the server that breaks after every so many bytes that came down it, wherever a frame is then. */
async function frayed(url, every) {
  const { hostname, port } = new URL(url);
  const server = createServer((near) => {
    const up = dial(port, hostname);
    let left = every;
    near.on("data", (bytes) => up.write(bytes));
    up.on("data", (bytes) => {
      if (bytes.length < left) {
        left -= bytes.length;
        near.write(bytes);
      } else {
        near.end(bytes.subarray(0, left));
        up.destroy();
        mark("cut");
      }
    });
    for (const [one, other] of [[near, up], [up, near]]) one.on("error", () => {}).on("close", () => other.destroy());
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const here = new URL(url);
  here.port = server.address().port;
  return here.href;
}

/** A cable to the server that goes on one day to hold back what comes, both ways, while both ends think that it is whole. */
async function held(url) {
  const { hostname, port } = new URL(url);
  const pairs = new Set();
  const server = createServer((near) => {
    const pair = { near, up: dial(port, hostname), isHeld: false };
    pairs.add(pair);
    for (const [one, other] of [[near, pair.up], [pair.up, near]]) {
      one.on("data", (bytes) => pair.isHeld || other.write(bytes));
      one.on("error", () => {}).on("close", () => pair.isHeld || other.destroy());
    }
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const here = new URL(url);
  here.port = server.address().port;
  const hold = () => pairs.forEach((pair) => (pair.isHeld = true));
  const breaks = () => pairs.forEach((pair) => pair.isHeld && [pair.near, pair.up].forEach((end) => end.destroy()));
  return { url: here.href, hold, breaks };
}

/** Publishes a stream with so many under way. */
async function publish(room, { stream, channel, count, ahead = 20 }) {
  const under = new Set();
  for (let n = 1; n <= count; n += 1) {
    const data = payload(stream, n);
    say("offered", { stream, n, digest: digest(data) });
    const one = room.publish(channel, JSON.parse(data)).then(
      (receipt) => {
        say("acked", { stream, n });
        if (receipt.dup) mark(`${stream} dup`);
      },
      ({ code }) => say("refused", { stream, n, code }),
    );
    const done = one.then(() => under.delete(done));
    under.add(done);
    if (under.size >= ahead) await Promise.race(under);
  }
  await Promise.all(under);
  mark(`${stream} done`);
}

/** Publishes numbers of a stream in one batch, with payloads of about a size. */
async function publishBatch(room, stream, from, to, size) {
  const batch = [];
  for (let n = from; n <= to; n += 1) {
    const data = payload(stream, n, size);
    say("offered", { stream, n, digest: digest(data) });
    batch.push({ channel: "c", value: JSON.parse(data) });
  }
  for (const [at, { error }] of (await room.publishMany(batch)).entries()) {
    if (error) say("refused", { stream, n: from + at, code: error.code });
    else say("acked", { stream, n: from + at });
  }
}

/** Reads a subscription by a handler or by iterating over it, and says what came. */
async function read(room, { reader, channels = "#", iterate = false, ...options }) {
  const take = (message) => delivered(reader, Buffer.from(bytesOf(message)), message.pos);
  const subscription = room.subscribe(channels, {
    ...options,
    start({ complete }) {
      mark(`${reader} ready`);
      mark(`${reader} ${complete}`);
    },
    gap: ({ cause, count }) => say("gap", { reader, cause, count: count ?? 0 }),
    end: ({ code }) => mark(`${reader} end ${code}`),
    ...(iterate ? {} : { message: take }),
  });
  if (iterate) for await (const message of subscription) take(message);
}

/** A condition that something which happens anyway makes true. */
async function until(holds) {
  while (!holds()) await new Promise((go) => setTimeout(go, 10));
}

const scenarios = {
  /** Readers and a publisher, over a cable that may break. */
  async stream() {
    if (want.cutEvery) want.url = await frayed(want.url, want.cutEvery);
    const room = enter();
    const reading = want.readers.map((one) => read(room, one));
    await room.ready();
    if (want.publish) await publish(room, want.publish);
    await Promise.all(reading);
  },

  /** Each kind of value comes back as it went, and a batch has a receipt each. */
  async values() {
    const room = enter();
    const messages = room.subscribe("v/#", { from: "start" })[Symbol.asyncIterator]();
    await room.ready();
    const bytes = new Uint8Array([0, 1, 254, 255]);
    const values = [{ a: [1, 2.5, null, "é"] }, 'text, "quoted"', bytes, 7, null, "x".repeat(200_000)];
    for (const [at, value] of values.entries()) await room.publish(`v/${at}`, value);
    const receipts = await room.publishMany([
      { channel: "v/6", value: "<p>", type: "text/html" },
      { channel: "v/+", value: "nowhere" },
    ]).catch((error) => error);
    mark(`batch ${receipts.code}`);
    const many = await room.publishMany([
      { channel: "v/6", value: "<p>", type: "text/html" },
      { channel: "v/7", value: 1 },
    ]);
    mark(`batch of ${many.filter(({ pos }) => pos).length}`);
    for (const [at, value] of [...values, "<p>", 1].entries()) {
      const message = (await messages.next()).value;
      const came = message.bytes ? [...message.bytes] : message.data;
      const same = JSON.stringify(came) === JSON.stringify(value instanceof Uint8Array ? [...value] : value);
      mark(`value ${at} ${same && message.channel === `v/${at}` ? "same" : "differs"} ${message.type}`);
    }
    await messages.return();
    room.close();
    await room.ready().catch(({ code }) => mark(`then ${code}`));
    leave();
  },

  /** As many subscriptions as one connection may have, of every shape and both flows, and one more. */
  async many() {
    const room = enter();
    // Long names: not all of them fit into what a server takes before it knows who is there.
    const long = "n".repeat(150);
    const shapes = [(n) => `m/${n}/${long}`, (n) => `m/${n}/#`, (n) => `m/${n}/+`, (n) => `+/${n}/${long}`];
    const seen = Array.from({ length: 100 }, () => []);
    for (const [n, got] of seen.entries()) {
      const flow = n % 3 === 0 ? "conflate" : "credit";
      room.subscribe(shapes[n % 4](n), { flow, message: ({ channel, data }) => got.push(`${channel}=${data}`) });
    }
    await room.ready();
    const onemore = await new Promise((end) => room.subscribe("m/#", { end }));
    mark(`one more ${onemore.code}`);
    for (let n = 0; n < 100; n += 1) await room.publish(`m/${n}/${long}`, n);
    await room.publish(`m/100/${long}`, "nobody's");
    await until(() => seen.every((got) => got.length > 0));
    mark(`each has its own ${seen.every((got, n) => got.join() === `m/${n}/${long}=${n}`)}`);
    mark(`still ${room.state}`);
    room.close();
    leave();
  },

  /** Where a subscription may begin, and that another run goes on where one stopped. */
  async places() {
    const room = enter();
    await room.ready();
    const positions = [];
    for (let n = 1; n <= 20; n += 1) positions.push((await room.publish("p", n)).pos);
    const places = { start: "start", last: { last: 5 }, after: { after: positions[9] }, live: "live", none: undefined };
    const all = {};
    for (const [name, from] of Object.entries(places)) {
      const start = ({ complete }) => mark(`${name} ${complete}`);
      all[name] = room.subscribe("p", { from, start })[Symbol.asyncIterator]();
    }
    await room.publish("p", 21);
    for (const [name, messages] of Object.entries(all)) {
      const got = [];
      while (got.at(-1) !== 21) got.push((await messages.next()).value.data);
      mark(`${name} ${got[0]}..${got.at(-1)} of ${got.length}`);
    }

    const first = room.subscribe("p", { from: "start", window: 4 });
    let position;
    for await (const { data } of first) {
      position = first.position;
      if (data === 7) break;
    }
    room.close();
    const next = enter();
    const got = [];
    for await (const { data } of next.subscribe("p", { from: { after: position } })) {
      got.push(data);
      if (data === 21) break;
    }
    mark(`another run ${got[0]}..${got.at(-1)} of ${got.length}`);
    next.close();
    leave();
  },

  /** A consumer that takes nothing while a thousand times its window is published; then it takes all of it. */
  async slow() {
    const { count, window, stream } = want;
    const room = enter();
    let quick = 0;
    room.subscribe("#", { message: () => (quick += 1) });
    const slow = room.subscribe("#", { window });
    const messages = slow[Symbol.asyncIterator]();
    await room.ready();
    for (let n = 1; n <= count; n += 200) await publishBatch(room, stream, n, Math.min(count, n + 199), 1000);
    await until(() => quick === count);
    mark("the quick one has everything");
    mark(`sent ahead ${wire.messages[slow.sub] === window ? "the window" : wire.messages[slow.sub]}`);
    for (let n = 1; n <= count; n += 1) {
      const { value } = await messages.next();
      delivered("slow", Buffer.from(bytesOf(value)), value.pos);
    }
    mark("the slow one has everything");
    room.close();
    leave();
  },

  /** A conflating consumer that is held up at its first message. */
  async conflate() {
    const { count } = want;
    const room = enter();
    let complete = 0;
    room.subscribe("#", { message: () => (complete += 1) });
    const newest = {};
    const passed = {};
    let release;
    const held = new Promise((go) => (release = go));
    room.subscribe("#", {
      flow: "conflate",
      message({ channel, data, skipped }) {
        if (data < (newest[channel] ?? 0)) mark(`${channel} stepped back`);
        newest[channel] = data;
        passed[channel] = (passed[channel] ?? 0) + 1 + skipped;
        return held;
      },
    });
    await room.ready();
    for (let n = 1; n <= count; n += 1) {
      const last = room.publishMany(["a", "b", "c"].map((channel) => ({ channel, value: n })));
      if (n % 50 === 0) await last;
    }
    await until(() => complete === 3 * count);
    mark(`shown while held ${JSON.stringify(newest)}`);
    release();
    await until(() => ["a", "b", "c"].every((channel) => newest[channel] === count));
    mark("the present is shown");
    mark(`all are counted ${["a", "b", "c"].every((channel) => passed[channel] === count)}`);
    mark(`fewer were sent ${wire.messages[2] < 3 * count}`);
    room.close();
    leave();
  },

  /** Takes one, then nothing while more is published than the server keeps; then whatever there is. */
  async gap() {
    const { stream, count } = want;
    const room = enter();
    const told = [];
    const subscription = room.subscribe("#", { from: "start", window: 4, gap: (gap) => told.push(gap) });
    const messages = subscription[Symbol.asyncIterator]();
    await room.ready();
    let last = 0;
    const take = async () => {
      const { value } = await messages.next();
      for (const { cause, count: gone } of value.gaps) say("gap", { reader: "slow", cause, count: gone });
      const missing = value.gaps.reduce((sum, gap) => sum + gap.count, 0);
      // In place: what is missing lies between the two messages around it, all of it and nothing else.
      if (value.data.n !== last + missing + 1) mark(`hole between ${last} and ${value.data.n}, told ${missing}`);
      last = value.data.n;
      delivered("slow", Buffer.from(bytesOf(value)), value.pos);
    };
    await publishBatch(room, stream, 1, 1, 4000);
    await take();
    for (let n = 2; n <= count; n += 50) await publishBatch(room, stream, n, Math.min(count, n + 49), 4000);
    while (last < count) await take();
    if (told.some(({ from, to, count: gone }) => to - from + 1 !== gone)) mark("a gap's range is not its count");
    mark(`gaps ${told.length > 0}`);
    room.close();
    leave();
  },

  /** What a session says is replayed with its name, and taken back when it ends; after a cut there is another. */
  async session() {
    const cable = await held(want.url);
    const owner = enter({}, cable.url);
    await owner.session();
    await owner.publish("x", 1);
    await owner.publish("x", 2);
    const late = enter();
    const told = [];
    const names = new Set();
    const tell = (reader) => ({
      message: ({ data, session }) => {
        if (session !== undefined) names.add(session);
        told.push(`${reader} ${data} ${session === undefined ? "of nobody's" : "of a session"}`);
      },
      wiped: (session) => told.push(`${reader} wiped ${names.has(session)}`),
    });
    late.subscribe("#", tell("handles"));
    const iterates = (async () => {
      const { message, wiped } = tell("iterates");
      for await (const one of late.subscribe("#", { wiped })) message(one);
    })();
    await until(() => told.length === 4);
    cable.hold();
    cable.breaks();
    await until(() => told.filter((one) => one.includes("wiped")).length === 2);
    await late.publish("x", 3);
    await until(() => told.filter((one) => one.includes(" 3 ")).length === 2);
    await owner.publish("x", 4);
    await until(() => told.filter((one) => one.includes(" 4 ")).length === 2);
    for (const reader of ["handles", "iterates"]) mark(told.filter((one) => one.startsWith(reader)).join(", "));
    const joins = [];
    const later = enter();
    later.subscribe("#", { message: ({ data, session }) => joins.push(`${data} ${session !== undefined}`) });
    await until(() => joins.length > 0);
    mark(`later ${joins} ${names.size}`);
    for (const room of [late, later, owner]) room.close();
    await iterates;
    leave();
  },

  /** The old connection has its place still, and the new one is refused until it is gone. */
  async halfOpen() {
    const cable = await held(want.url);
    const room = enter({}, cable.url);
    const told = [];
    room.subscribe("#", {
      start: () => told.push("runs"),
      message: ({ data }) => told.push(data),
      waits: ({ code }) => told.push(code),
      end: ({ code }) => mark(`ended ${code}`),
    });
    await room.publish("x", 1);
    await until(() => told.includes(1));
    cable.hold();
    await until(() => told.filter((one) => one === "quota_exceeded").length > 1);
    const other = enter();
    await new Promise((end) => other.subscribe("#", { end })).then(({ code }) => mark(`who never ran ${code}`));
    await other.publish("x", 2);
    cable.breaks();
    await until(() => told.includes(2));
    mark(told.filter((one, at) => one !== told[at - 1]).join(", "));
    mark(`still ${room.state}`);
    for (const one of [room, other]) one.close();
    leave();
  },

  /** Raw sockets that enter by tickets, at a channel, at one's own address in it and at another's. */
  async tickets() {
    const room = enter();
    const { client } = await room.ready();
    let last;
    const open = async (path, ticket) => {
      const socket = new WebSocket(`${want.url}/${path}?ticket=${ticket}&x=1`);
      socket.got = [];
      socket.on("error", ({ message }) => note(message));
      socket.on("message", (data, binary) => socket.got.push(binary ? [...data] : data.toString()));
      socket.on("close", (code) => (socket.closed = code));
      // A publication that comes back shows that it was let in, and a close code that it was not.
      await until(() => socket.readyState !== WebSocket.CONNECTING);
      return socket;
    };
    const draw = async () => {
      const { ticket, expires_s } = await room.ticket();
      if (expires_s !== 30 || ticket.length < 40) mark(`a strange ticket ${expires_s}`);
      last = ticket;
      return ticket;
    };
    const heard = [];
    room.subscribe("#", { message: ({ client: of, channel, data }) => heard.push(`${channel} ${data} ${of === client}`) });
    await room.ping();

    const raw = await open("raw/x", await draw());
    const used = last;
    raw.send("first");
    await until(() => raw.got.includes("first"));
    raw.send(Buffer.from([0, 255]));
    await until(() => raw.got.some((one) => String(one) === "0,255"));
    await until(() => heard.length === 2);
    mark(`published ${heard[0]}`);
    const again = await open("raw/x", used);
    await until(() => again.closed);
    mark(`used again ${again.closed}`);
    const guess = await open("raw/x", "A".repeat(43));
    await until(() => guess.closed);
    mark(`guessed ${guess.closed}`);
    const none = new WebSocket(`${want.url}/raw/x`);
    none.on("error", () => {});
    none.on("close", (code) => (none.closed = code));
    await until(() => none.closed);
    mark(`without ${none.closed}`);

    const own = await open(`${client}/raw/y`, await draw());
    own.send("as oneself");
    await until(() => heard.length === 3);
    mark(`own ${heard[2]}`);
    const them = enter({ credential: { user: want.other, password: want.password } });
    const other = await open(`${(await them.ready()).client}/raw/z`, await draw());
    // Until it reads, nobody can say from outside that it does.
    while (other.got.length === 0) {
      await room.publish("raw/z", "mine");
      await them.publish("raw/z", "theirs");
    }
    other.got.splice(1);
    mark(`other ${other.got}`);
    other.send("not mine");
    await until(() => other.closed);
    mark(`other closed ${other.closed}`);
    mark(`ticket ${used}`);
    mark(`ticket ${last}`);
    them.close();
    room.close();
    leave();
  },

  /** Who says anew who it is goes on where it was; by what is wrong it is closed. */
  async renews() {
    const room = enter({ credential: () => ({ user: want.user, password: want.password }) });
    const messages = room.subscribe("a")[Symbol.asyncIterator]();
    const { connection } = await room.ready();
    await room.renew();
    await room.renew({ user: want.user, password: want.password });
    await room.publish("a", "still here");
    mark(`heard ${(await messages.next()).value.data}`);
    mark(`same ${(await room.whoami()).connection === connection}`);
    await room.renew({ user: want.user, password: "wrong" }).catch(({ code }) => mark(`renew ${code}`));
    await until(() => room.state === "closed");
    mark("closed");
    leave();
  },

  /** What is wrong is said clearly, and not tried again where that is pointless. */
  async refused() {
    const tries = async (name, url, credential) => {
      wire.attempts = 0;
      const room = connect(new URL(url, want.url), { WebSocket: Counted, credential });
      const error = await room.ready().then(() => ({ code: "let in" }), (refusal) => refusal);
      const clear = error.what && error.want && error.message.includes(error.code);
      const said = `${error.code} ${error.closeCode} ${clear ? "clear" : `unclear: ${error.message}`}`;
      mark(`${name} ${said} ${room.state} after ${wire.attempts}`);
      await room.publish("a", 1).catch(({ code }) => mark(`${name} publish ${code}`));
    };
    const right = { user: want.user, password: want.password };
    await tries("wrong password", want.url, { ...right, password: "wrong" });
    await tries("unknown user", want.url, { ...right, user: "nobody" });
    await tries("no credential", want.url, undefined);
    await tries("unknown room", want.elsewhere, right);

    const room = enter();
    await room.ready();
    await room.publish("a", 1).catch(({ code }) => mark(`publish ${code}`));
    const ended = await new Promise((end) => room.subscribe("a#", { end }));
    mark(`filter ${ended.code}`);
    mark(`still ${room.state}`);
    room.close();

    const away = await new Promise((lost) => {
      const nobody = connect(want.nowhere, {
        WebSocket,
        onState: (state, { error }) => {
          if (state !== "waiting") return;
          nobody.close();
          lost(error);
        },
      });
    });
    mark(`away ${away.code}`);
    leave();
  },
};

await scenarios[want.scenario]();
