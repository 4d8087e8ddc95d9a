// What a consumer is given: everything, once, in order, at its own pace.

import assert from "node:assert/strict";
import { test } from "node:test";
import { bytesOf } from "../riser.js";
import { FakeSocket, again, alone, recorder, room, said, settle, states } from "./fake.js";

alone();

test("hello carries the credential and the subscriptions", async () => {
  const made = await room();
  const { seen, handlers } = recorder();
  made.subscribe("#", { ...handlers, from: { last: 3 }, flow: "conflate" });
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
    events: false,
  });
  socket.say(said(2, "p1", "p0", "joined"));
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
  assert.deepEqual(socket.asked("subscribe"), { op: "subscribe", sub: 1, channels: "a", flow: "credit", credit: 256, id: 2 });
});

test("every subscription resumes from its own last position", async () => {
  const made = await room();
  const one = recorder();
  const two = recorder();
  made.subscribe("a", { ...one.handlers, from: "start" });
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

test("what began at a time goes on by that time, over every cut", async () => {
  const made = await room();
  const { seen, handlers } = recorder();
  made.subscribe("a", { ...handlers, from: { time: 20 } });
  made.subscribe("b", { from: "start" });
  let socket = FakeSocket.last;
  socket.enter({ 1: { until: "p7" } });
  const asked = () => socket.enter({ 1: { until: "p7" } }).subscriptions.map(({ from }) => from);
  socket.drop();
  socket = await again();
  assert.deepEqual(asked(), [{ after: "p0", time: 20, until: "p7" }, { after: "p0" }], "nothing had come yet");
  socket.msg(1, "p0", "p3");
  socket.drop();
  socket = await again();
  assert.deepEqual(asked(), [{ after: "p3", time: 20, until: "p7" }, { after: "p0" }]);
  socket.msg(1, "p1", "p8");
  assert.deepEqual(socket.asked("subscribe").from, { after: "p3", time: 20, until: "p7" }, "and over a jump");
  assert.deepEqual(seen, ["start p0", "start p0", "p3", "start p3"]);
});

test("who goes on in another run says again from when, and a server that knows no such thing is not told", async () => {
  const made = await room();
  made.subscribe("a", { from: { after: "p3", time: 20, until: "p7" } });
  made.subscribe("b", { from: { time: 20 } });
  let socket = FakeSocket.last;
  assert.deepEqual(socket.enter({ 1: { until: "p7" } }).subscriptions[0].from, { after: "p3", time: 20, until: "p7" });
  socket.drop();
  socket = await again();
  const hello = socket.enter();
  assert.deepEqual(hello.subscriptions.map(({ from }) => from), [{ after: "p3", time: 20, until: "p7" }, { after: "p0" }]);
});

test("a session that ends after a cut of the reader is told, whatever of it was shown", async () => {
  const made = await room();
  const seen = [];
  const message = ({ session, data }) => seen.push([session, data]);
  made.subscribe("a", { message, wiped: (session) => seen.push(`wiped ${session}`) });
  let socket = FakeSocket.last;
  socket.enter();
  socket.msg(1, "p0", "p1", { session: "s1" });
  socket.drop();
  socket = await again();
  assert.deepEqual(socket.enter().subscriptions[0].from, { after: "p1" });
  socket.say({ ev: "wiped", sub: 1, session: "s1" });
  socket.say({ ev: "wiped", sub: 1, session: "never seen" });
  socket.msg(1, "p1", "p2");
  assert.deepEqual(seen, [["s1", "p1"], "wiped s1", "wiped never seen", [undefined, "p2"]]);
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
  const subscription = made.subscribe("a", { flow: "conflate", message: (m) => seen.push([m.latest, m.pos, m.skipped]) });
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
  made.subscribe("a", { ...handlers, from: "start" });
  FakeSocket.last.enter();
  FakeSocket.last.drop();
  const socket = await again();
  socket.enter({ 1: { error: { code: "unknown_position", what: "w", want: "x" } } });
  assert.deepEqual(socket.asked("subscribe").from, "live");
  assert.deepEqual(seen, ["start p0", "gap null unknown_position"]);
});

test("credit is given back as the consumer takes, and asked for again without what it still has", async () => {
  const made = await room();
  const taken = [];
  let release;
  made.subscribe("a", {
    window: 4,
    message(message) {
      taken.push(message.pos);
      return message.pos === "p3" ? new Promise((resolve) => (release = resolve)) : undefined;
    },
  });
  const hello = FakeSocket.last.enter();
  assert.equal(hello.subscriptions[0].credit, 4);
  FakeSocket.last.msg(1, "p0", "p1");
  assert.equal(FakeSocket.last.asked("credit"), undefined);
  FakeSocket.last.msg(1, "p1", "p2");
  assert.deepEqual(FakeSocket.last.asked("credit"), { op: "credit", sub: 1, n: 2 });
  for (const [prev, pos] of [["p2", "p3"], ["p3", "p4"], ["p4", "p5"], ["p5", "p6"]]) FakeSocket.last.msg(1, prev, pos);
  assert.deepEqual(taken, ["p1", "p2", "p3"], "the third takes its time");
  assert.equal(FakeSocket.last.sent.filter(({ op }) => op === "credit").length, 1);
  FakeSocket.last.drop();
  const socket = await again();
  const again2 = socket.enter();
  assert.deepEqual(again2.subscriptions[0], { sub: 1, channels: "a", from: { after: "p6" }, flow: "credit", credit: 0 });
  release();
  await settle();
  assert.deepEqual(taken, ["p1", "p2", "p3", "p4", "p5", "p6"]);
  assert.deepEqual(socket.sent.filter(({ op }) => op === "credit").map(({ n }) => n), [2, 2]);
});

test("an iteration gets messages in order with their gaps, and its credit as it takes", async () => {
  const made = await room();
  const gaps = [];
  const subscription = made.subscribe("a", { from: "start", window: 4, gap: (gap) => gaps.push(gap.count) });
  const socket = FakeSocket.last;
  socket.enter();
  socket.msg(1, "p0", "p1");
  socket.say({ ev: "gap", sub: 1, from: 2, to: 3, count: 2, cause: "quota", pos: "p3" });
  socket.say({ ev: "gap", sub: 1, from: 4, to: 4, count: 1, cause: "quota", pos: "p4" });
  socket.msg(1, "p4", "p5");
  assert.deepEqual([gaps, subscription.position], [[], "p0"], "nobody has taken anything");
  const messages = subscription[Symbol.asyncIterator]();
  assert.equal((await messages.next()).value.data, "p1");
  assert.equal(subscription.position, "p1");
  assert.equal(socket.asked("credit"), undefined);
  const { value } = await messages.next();
  assert.deepEqual([value.data, value.gaps], ["p5", [{ from: 2, to: 4, count: 3, cause: "quota", pos: "p4" }]]);
  assert.deepEqual([gaps, subscription.position], [[3], "p5"]);
  assert.equal(socket.asked("credit").n, 2);
  const next = messages.next();
  socket.msg(1, "p5", "p6");
  assert.equal((await next).value.data, "p6");
  socket.say({ ev: "ping", through: { 1: "p9" } });
  assert.equal(subscription.position, "p9");
});

test("an iteration ends with its subscription", async () => {
  const made = await room();
  const socket = FakeSocket.last;
  const collect = async (subscription) => {
    const seen = [];
    for await (const { data } of subscription) {
      seen.push(data);
      if (data === "enough") break;
    }
    return seen;
  };
  const ended = made.subscribe("a");
  const left = made.subscribe("b");
  const closed = made.subscribe("c");
  socket.enter();
  const all = [ended, left, closed].map(collect);
  await settle();
  socket.msg(1, "p0", "p1");
  socket.say({ ev: "end", sub: 1, error: { code: "denied", what: "w", want: "x" } });
  await assert.rejects(all[0], { code: "denied" });
  socket.msg(2, "p0", "p1", { data: "enough" });
  assert.deepEqual(await all[1], ["enough"]);
  await settle();
  assert.deepEqual(socket.asked("unsubscribe").sub, 2);
  socket.msg(3, "p0", "p1", { data: "last" });
  made.close();
  assert.deepEqual(await all[2], ["last"]);
  assert.throws(() => made.subscribe("d", { message: () => {} })[Symbol.asyncIterator](), { code: "wrong_state" });
});

test("what was received before the end is still handed out", async () => {
  const made = await room();
  const subscription = made.subscribe("a");
  FakeSocket.last.enter();
  FakeSocket.last.msg(1, "p0", "p1");
  FakeSocket.last.say({ ev: "end", sub: 1, error: { code: "denied", what: "w", want: "x" } });
  const messages = subscription[Symbol.asyncIterator]();
  assert.equal((await messages.next()).value.data, "p1");
  await assert.rejects(messages.next(), { code: "denied" });
  assert.deepEqual(await messages.next(), { value: undefined, done: true });
});

test("a slow consumer of conflate gets the newest of each channel, with what was passed over", async () => {
  const made = await room();
  const subscription = made.subscribe("#", { flow: "conflate" });
  const socket = FakeSocket.last;
  assert.deepEqual(socket.enter().subscriptions[0], { sub: 1, channels: "#", flow: "conflate" });
  let at = 0;
  const say = (channel, data, skipped) => socket.msg(1, `p${at}`, `p${(at += 1)}`, { channel, data, skipped });
  for (let n = 1; n <= 10_000; n += 1) {
    say("x", n);
    say("y", -n, 1);
  }
  const messages = subscription[Symbol.asyncIterator]();
  const next = async () => {
    const { channel, data, skipped } = (await messages.next()).value;
    return [channel, data, skipped];
  };
  assert.deepEqual(await next(), ["x", 10_000, 9_999]);
  assert.equal(subscription.position, "p0");
  assert.deepEqual(await next(), ["y", -10_000, 19_999]);
  assert.equal(subscription.position, "p20000");
  say("x", 1);
  assert.deepEqual(await next(), ["x", 1, 0]);
});

test("of events that nobody takes the oldest go, counted", async () => {
  const made = await room();
  const subscription = made.subscribeTechnical("room");
  const socket = FakeSocket.last;
  socket.enter();
  for (let n = 0; n < 300; n += 1) socket.say(said(1, `p${n + 1}`, `p${n}`, String(n)));
  const events = subscription[Symbol.asyncIterator]();
  const [one, two] = [(await events.next()).value, (await events.next()).value];
  assert.deepEqual(one, { event: { type: "44", id: "e-44", time: "t", count: 1, n: "44" }, scope: "room", missed: 44, pos: "p45" });
  assert.deepEqual([two.event.type, two.missed], ["45", 0]);
});

test("events that were said while the connection was cut are heard, once", async () => {
  const made = await room();
  const { seen, handlers } = recorder();
  made.subscribeTechnical("account", { ...handlers, from: { last: 5 } });
  FakeSocket.last.enter();
  FakeSocket.last.say(said(1, "p1", "p0", "opened"));
  FakeSocket.last.close(1006, "");
  const socket = await again();
  const [asked] = socket.accept().subscriptions;
  assert.deepEqual(asked, { sub: 1, technical: "account", from: { after: "p1" } });
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
