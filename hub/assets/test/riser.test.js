import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { RiserError, bytesOf, comesBack, connect } from "../riser.js";
import { FakeSocket } from "./fake.js";

let states;

beforeEach(() => {
  mock.timers.enable({ apis: ["setTimeout", "Date"] });
  FakeSocket.all = [];
  states = [];
});

afterEach(() => mock.timers.reset());

/** Lets promises that are already decided run. */
const settle = async () => {
  for (let i = 0; i < 10; i += 1) await null;
};

async function room(options = {}) {
  const made = connect("ws://hub/acme/plant", {
    WebSocket: FakeSocket,
    credential: { user: "ann", password: "x" },
    random: () => 0.5,
    onState: (state, detail) => states.push([state, detail.error?.code]),
    ...options,
  });
  await settle();
  return made;
}

/** Loses the connection and comes back. */
async function again() {
  mock.timers.tick(5000);
  await settle();
  return FakeSocket.last;
}

function recorder() {
  const seen = [];
  const handlers = {
    message: (message) => seen.push(message.data),
    gap: (gap) => seen.push(`gap ${gap.count} ${gap.cause}`),
    start: (start) => seen.push(`start ${start.pos}`),
    end: (error) => seen.push(`end ${error.code}`),
    event: (event) => seen.push(event.type),
  };
  return { seen, handlers };
}

test("hello carries the credential and the subscriptions", async () => {
  const made = await room();
  const { seen, handlers } = recorder();
  made.subscribe("#", handlers, { from: { last: 3 }, flow: "conflate" });
  made.subscribeTechnical("room", handlers);
  const socket = FakeSocket.last;
  assert.deepEqual([socket.url, socket.protocol], ["ws://hub/acme/plant", "riser.v1.json"]);
  assert.deepEqual(socket.enter(), {
    op: "hello",
    id: 1,
    credential: { user: "ann", password: "x" },
    subscriptions: [
      { sub: 1, channels: "#", from: { last: 3 }, flow: "conflate" },
      { sub: 2, technical: "room" },
    ],
  });
  socket.say({ ev: "event", sub: 2, scope: "room", event: { type: "joined" } });
  assert.deepEqual(seen, ["start p0", "start p0", "joined"]);
  assert.equal(made.me.name, "ann");
  assert.deepEqual(states, [["connecting", undefined], ["open", undefined]]);
});

test("a subscription made while hello is under way is asked for after it", async () => {
  const made = await room();
  const socket = FakeSocket.last;
  const hello = socket.accept();
  made.subscribe("a", {});
  assert.equal(socket.sent.length, 1);
  socket.say({ re: hello.id, ok: { subscriptions: [] } });
  assert.deepEqual(socket.asked("subscribe"), { op: "subscribe", sub: 1, channels: "a", id: 2 });
});

test("every subscription resumes from its own last position", async () => {
  const made = await room();
  const one = recorder();
  const two = recorder();
  made.subscribe("a", one.handlers, { from: "start" });
  made.subscribe("b", two.handlers);
  let socket = FakeSocket.last;
  socket.enter();
  socket.msg(1, "p0", "p1");
  socket.say({ ev: "gap", sub: 1, from: 2, to: 4, count: 3, cause: "quota", pos: "p4" });
  socket.say({ ev: "ping", through: { 1: "p4", 2: "p9" } });
  socket.drop();
  assert.deepEqual(states.at(-1), ["waiting", "connection_lost"]);
  socket = await again();
  const hello = socket.enter();
  assert.deepEqual(hello.subscriptions.map(({ from }) => from), [{ after: "p4" }, { after: "p9" }]);
  socket.msg(1, "p4", "p5");
  socket.msg(2, "p9", "p10");
  assert.deepEqual(one.seen, ["start p0", "p1", "gap 3 quota", "start p4", "p5"]);
  assert.deepEqual(two.seen, ["start p0", "start p9", "p10"]);
});

test("a message that does not follow is not handed out but asked for again", async () => {
  const made = await room();
  const { seen, handlers } = recorder();
  made.subscribe("a", handlers);
  const socket = FakeSocket.last;
  socket.enter();
  socket.msg(1, "p0", "p1");
  socket.msg(1, "p5", "p6");
  socket.msg(1, "p6", "p7");
  const asked = socket.asked("subscribe");
  assert.deepEqual(asked.from, { after: "p1" });
  assert.equal(socket.sent.length, 2, "asked once");
  const gaps = [{ from: 2, to: 5, count: 4, cause: "retention" }];
  socket.say({ re: asked.id, ok: { sub: 1, complete: "partial", gaps, pos: "p5" } });
  socket.msg(1, "p5", "p6");
  assert.deepEqual(seen, ["start p0", "p1", "start p5", "gap 4 retention", "p6"]);
});

test("latest is handed out and moves nothing", async () => {
  const made = await room();
  const seen = [];
  const subscription = made.subscribe("a", { message: (m) => seen.push([m.latest, m.pos, m.skipped]) }, { flow: "conflate" });
  const socket = FakeSocket.last;
  socket.enter();
  socket.msg(1, "p0", undefined, { latest: true, skipped: 2 });
  assert.equal(subscription.position, "p0");
  socket.msg(1, "p0", "p1");
  assert.deepEqual(seen, [[true, null, 2], [false, "p1", 0]]);
});

test("a position of a log that is gone is told as a gap of unknown size", async () => {
  const made = await room();
  const { seen, handlers } = recorder();
  made.subscribe("a", handlers, { from: "start" });
  FakeSocket.last.enter();
  FakeSocket.last.drop();
  const socket = await again();
  socket.enter({ 1: { error: { code: "unknown_position", what: "w", want: "x" } } });
  assert.deepEqual(socket.asked("subscribe").from, "live");
  assert.deepEqual(seen, ["start p0", "gap null unknown_position"]);
});

test("backoff doubles to its cap with full jitter, and a good connection resets it", async () => {
  await room({ backoffMinMs: 100, backoffMaxMs: 400 });
  for (const delay of [50, 100, 200, 200]) {
    FakeSocket.last.drop();
    const count = FakeSocket.all.length;
    mock.timers.tick(delay - 1);
    await settle();
    assert.equal(FakeSocket.all.length, count);
    mock.timers.tick(1);
    await settle();
    assert.equal(FakeSocket.all.length, count + 1);
  }
  FakeSocket.last.enter();
  FakeSocket.last.drop();
  mock.timers.tick(50);
  await settle();
  assert.equal(FakeSocket.all.length, 6);
});

test("the server's wish when to come back is honoured", async () => {
  await room({ backoffMinMs: 100 });
  FakeSocket.last.enter();
  FakeSocket.last.say({ ev: "bye", code: "shutting_down", what: "w", want: "x", close: 4000, after_ms: 3000 });
  FakeSocket.last.drop(4000);
  mock.timers.tick(3049);
  await settle();
  assert.equal(FakeSocket.all.length, 1);
  mock.timers.tick(1);
  await settle();
  assert.equal(FakeSocket.all.length, 2);
});

test("a close that would only repeat itself ends everything", async () => {
  for (const [bye, code] of [[{ ev: "bye", code: "not_authorised", what: "w", want: "x", close: 4103 }, 4103], [null, 4104], [null, 1008]]) {
    const made = await room();
    const { seen, handlers } = recorder();
    made.subscribe("a", handlers);
    const waiting = made.publish("a", 1);
    const socket = FakeSocket.last;
    socket.accept();
    if (bye) socket.say(bye);
    socket.drop(code, "denied: no");
    const expected = bye ? "not_authorised" : "connection_lost";
    await assert.rejects(waiting, (error) => error instanceof RiserError && error.code === expected && error.closeCode === code);
    assert.deepEqual(seen, [`end ${expected}`]);
    assert.equal(made.state, "closed");
    const count = FakeSocket.all.length;
    await again();
    assert.equal(FakeSocket.all.length, count);
    await assert.rejects(made.publish("a", 1), { code: "closed" });
  }
});

test("close codes are in two bands", () => {
  assert.deepEqual([1000, 1006, 1008, 4000, 4099, 4100, 4199, 4200].map(comesBack), [true, true, false, true, true, false, false, true]);
});

test("publish resolves with the receipt and keeps the kinds of values apart", async () => {
  const made = await room();
  const early = made.publish("a/b", { x: 1 });
  const socket = FakeSocket.last;
  socket.enter();
  assert.deepEqual(socket.asked("publish"), { op: "publish", channel: "a/b", data: { x: 1 }, id: 2 });
  socket.say({ re: 2, ok: { pos: "p1" } });
  assert.deepEqual(await early, { pos: "p1" });
  for (const [value, type, sent] of [
    ["t", undefined, { data: "t" }],
    [null, undefined, { data: null }],
    ["<p>", "text/html", { type: "text/html", data: "<p>" }],
    [new Uint8Array([0, 255]), undefined, { data_b64: "AP8=" }],
    [new Uint8Array([0, 255]).buffer, "image/png", { type: "image/png", data_b64: "AP8=" }],
  ]) {
    made.publish("c", value, { type });
    const { op, id, ...rest } = socket.sent.at(-1);
    assert.deepEqual(rest, { channel: "c", ...sent });
  }
  const refused = made.publish("c", 1);
  socket.say({ re: socket.sent.at(-1).id, error: { code: "denied", what: "w", want: "x" } });
  await assert.rejects(refused, { code: "denied", what: "w", want: "x" });
});

test("a batch gets a receipt each", async () => {
  const made = await room();
  FakeSocket.last.enter();
  const receipts = made.publishMany([{ channel: "a", value: 1 }, { channel: "b", value: "x" }]);
  assert.deepEqual(FakeSocket.last.asked("publish").messages, [{ channel: "a", data: 1 }, { channel: "b", data: "x" }]);
  FakeSocket.last.say({ re: 2, ok: { receipts: [{ pos: "p1" }, { error: { code: "denied", what: "w", want: "x" } }] } });
  const [one, two] = await receipts;
  assert.deepEqual([one.pos, two.error.code], ["p1", "denied"]);
});

test("a publish without its receipt is of unknown outcome, unless the publisher has a name", async () => {
  const plain = await room();
  FakeSocket.last.enter();
  const lost = plain.publish("a", 1);
  FakeSocket.last.drop();
  await assert.rejects(lost, { code: "unknown_outcome" });
  plain.close();

  const named = await room({ producer: 2n ** 63n });
  FakeSocket.last.enter();
  const kept = named.publish("a", 1);
  const late = named.publish("a", 2);
  const { id: firstId, ...first } = FakeSocket.last.sent.at(-2);
  assert.deepEqual(first.publish_id, { producer: "9223372036854775808", n: "1" });
  FakeSocket.last.drop();
  const waiting = named.publish("a", 3);
  const socket = await again();
  socket.enter();
  const sent = socket.sent.filter(({ op }) => op === "publish");
  assert.deepEqual(sent.map(({ publish_id }) => publish_id.n), ["1", "2", "3"]);
  const { id, ...same } = sent[0];
  assert.deepEqual(same, first);
  socket.say({ re: sent[0].id, error: { code: "dup", what: "w", want: "x" } });
  socket.say({ re: sent[1].id, ok: { pos: "p2" } });
  socket.say({ re: sent[2].id, ok: { pos: "p3" } });
  assert.deepEqual([await kept, await late, await waiting], [{ dup: true }, { pos: "p2" }, { pos: "p3" }]);
});

test("what waits is bounded", async () => {
  const made = await room({ waitingMax: 2 });
  made.publish("a", 1);
  made.publish("a", 2);
  await assert.rejects(made.publish("a", 3), { code: "too_many" });
});

test("a server that says nothing is left", async () => {
  await room();
  const socket = FakeSocket.last;
  socket.enter();
  mock.timers.tick(54_999);
  socket.say({ ev: "ping", through: {} });
  mock.timers.tick(54_999);
  assert.equal(states.at(-1)[0], "open");
  mock.timers.tick(1);
  assert.deepEqual([states.at(-1)[0], socket.closed], ["waiting", 4001]);
});

test("a connection that never opens is given up", async () => {
  await room({ connectTimeoutMs: 1000 });
  mock.timers.tick(1000);
  assert.equal(states.at(-1)[0], "waiting");
});

test("credit is counted and what is left of it is asked for again", async () => {
  const made = await room();
  const subscription = made.subscribe("a", {}, { credit: 3 });
  FakeSocket.last.enter();
  FakeSocket.last.msg(1, "p0", "p1");
  FakeSocket.last.msg(1, "p1", "p2");
  subscription.credit(5);
  assert.deepEqual(FakeSocket.last.asked("credit"), { op: "credit", sub: 1, n: 5 });
  FakeSocket.last.drop();
  const socket = await again();
  const hello = socket.accept();
  assert.equal(hello.subscriptions[0].credit, 6);
  subscription.credit(4);
  assert.equal(socket.asked("credit"), undefined, "nothing but hello may be said yet");
  socket.say({ re: hello.id, ok: { subscriptions: [{ sub: 1, complete: "full", gaps: [], pos: "p2" }] } });
  assert.deepEqual(socket.asked("credit"), { op: "credit", sub: 1, n: 4 });
  assert.throws(() => made.subscribe("b", {}).credit(1), { code: "wrong_state" });
});

test("a handler that throws disturbs nobody", async () => {
  const errors = [];
  const made = await room({ onError: (error) => errors.push(error.message) });
  const { seen, handlers } = recorder();
  made.subscribe("a", { message: () => { throw new Error("oops"); } });
  made.subscribe("b", handlers);
  FakeSocket.last.enter();
  FakeSocket.last.msg(1, "p0", "p1");
  FakeSocket.last.msg(2, "p0", "p1");
  assert.deepEqual([errors, seen], [["oops"], ["start p0", "p1"]]);
});

test("a subscription that the server ends or refuses is over", async () => {
  const made = await room();
  const one = recorder();
  const two = recorder();
  made.subscribe("a", one.handlers);
  made.subscribe("b", two.handlers);
  FakeSocket.last.enter({ 2: { error: { code: "denied", what: "w", want: "x" } } });
  FakeSocket.last.say({ ev: "end", sub: 1, error: { code: "denied", what: "w", want: "x" } });
  FakeSocket.last.drop();
  assert.deepEqual((await again()).enter().subscriptions, []);
  assert.deepEqual([one.seen, two.seen], [["start p0", "end denied"], ["end denied"]]);
});

test("unsubscribing stops handlers at once, also while hello is under way", async () => {
  const made = await room();
  const { seen, handlers } = recorder();
  const subscription = made.subscribe("a", handlers);
  const socket = FakeSocket.last;
  const hello = socket.accept();
  await subscription.unsubscribe();
  socket.say({ re: hello.id, ok: { subscriptions: [{ sub: 1, complete: "full", gaps: [], pos: "p0" }] } });
  assert.deepEqual(socket.asked("unsubscribe"), { op: "unsubscribe", sub: 1, id: 2 });
  socket.msg(1, "p0", "p1");
  assert.deepEqual(seen, []);
});

test("bytes survive in both directions", async () => {
  const made = await room();
  const messages = [];
  made.subscribe("a", { message: (message) => messages.push(message) });
  FakeSocket.last.enter();
  FakeSocket.last.msg(1, "p0", "p1", { type: "application/octet-stream", data: undefined, data_b64: "AP8=" });
  FakeSocket.last.msg(1, "p1", "p2", { type: "text/plain", data: "hé" });
  assert.deepEqual([...messages[0].bytes], [0, 255]);
  assert.equal(messages[0].data, undefined);
  assert.deepEqual([...bytesOf(messages[1])], [104, 195, 169]);
});

test("a runtime without WebSocket is told what to give", () => {
  const had = globalThis.WebSocket;
  delete globalThis.WebSocket;
  assert.throws(() => connect("ws://hub/a/b"), { code: "no_websocket" });
  if (had) globalThis.WebSocket = had;
});
