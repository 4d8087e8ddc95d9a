// Coming, going and coming back.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { mock, test } from "node:test";
import * as riser from "../riser.js";
import { RiserError, comesBack, connect, lobby } from "../riser.js";
import { FakeSocket, again, alone, recorder, room, settle, states } from "./fake.js";

alone();

test("a runtime that tells of a failed attempt only as an error is believed", async () => {
  let error;
  await room({ onState: (state, detail) => (error = detail.error) });
  const socket = FakeSocket.last;
  socket.onerror({ message: "connection refused" });
  assert.deepEqual([error.code, error.what], ["unreachable", "connection refused"]);
  socket.onerror({});
  assert.equal(error.what, "connection refused", "once");
  (await again()).enter();
  FakeSocket.last.onerror({ message: "reset" });
  assert.equal(error, undefined, "of an open one the close says all");
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
    states.length = 0;
    const made = await room();
    const { seen, handlers } = recorder();
    made.subscribe("a", handlers);
    const waiting = made.publish("a", 1);
    const socket = FakeSocket.last;
    socket.accept();
    if (bye) socket.say(bye);
    socket.drop(code, "denied: no");
    const expected = bye ? "not_authorised" : "denied";
    await assert.rejects(waiting, (error) => error instanceof RiserError && error.code === expected && error.closeCode === code);
    assert.deepEqual(seen, [`end ${expected}`]);
    assert.equal(made.state, "closed");
    const count = FakeSocket.all.length;
    await again();
    assert.equal(FakeSocket.all.length, count);
    await assert.rejects(made.publish("a", 1), { code: expected });
    await assert.rejects(made.ready(), { code: expected });
    const late = recorder();
    made.subscribe("a", late.handlers);
    await settle();
    assert.deepEqual(late.seen, [`end ${expected}`]);
  }
});

test("close codes are in two bands", () => {
  assert.deepEqual([1000, 1006, 1008, 4000, 4099, 4100, 4199, 4200].map(comesBack), [true, true, false, true, true, false, false, true]);
});

test("a server that says nothing is asked, and left if it does not answer", async () => {
  await room();
  const socket = FakeSocket.last;
  socket.enter();
  mock.timers.tick(5000);
  mock.timers.tick(4999);
  assert.equal(socket.asked("ping"), undefined);
  mock.timers.tick(1);
  assert.ok(socket.asked("ping"));
  socket.say({ re: socket.asked("ping").id, ok: {} });
  for (let looks = 0; looks < 3; looks += 1) mock.timers.tick(5000);
  assert.equal(states.at(-1)[0], "open", "it was heard, and then was silent for two looks");
  assert.equal(socket.sent.filter(({ op }) => op === "ping").length, 2);
  mock.timers.tick(5000);
  assert.deepEqual([states.at(-1), socket.closed], [["waiting", "connection_lost"], 4001]);
});

test("a connection that never opens is given up", async () => {
  await room({ connectTimeoutMs: 1000 });
  mock.timers.tick(1000);
  assert.equal(states.at(-1)[0], "waiting");
});

test("hello stays below what a server takes from strangers, and the rest is asked for after it", async () => {
  const made = await room();
  for (let n = 0; n < 120; n += 1) made.subscribe(`${"é".repeat(100)}/${n}`);
  const socket = FakeSocket.last;
  const hello = socket.enter();
  assert.ok(new TextEncoder().encode(JSON.stringify(hello)).length <= 16 * 1024);
  assert.ok(hello.subscriptions.length > 30);
  const asked = socket.sent.filter(({ op }) => op === "subscribe").map(({ sub }) => sub);
  assert.deepEqual([...hello.subscriptions.map(({ sub }) => sub), ...asked], Array.from({ length: 120 }, (_, n) => n + 1));

  const short = await room();
  for (let n = 0; n < 120; n += 1) short.subscribe(`${n}`);
  assert.equal(FakeSocket.last.enter().subscriptions.length, 100);
  assert.equal(FakeSocket.last.sent.filter(({ op }) => op === "subscribe").length, 20);
});

test("a credential that can be had anew is, once", async () => {
  let asked = 0;
  const made = await room({ credential: async () => ({ token: `t${(asked += 1)}` }) });
  assert.deepEqual(FakeSocket.last.enter().credential, { token: "t1" });
  FakeSocket.last.drop(4103, "not_authorised: the token has expired; want a new one");
  assert.deepEqual(states.at(-1), ["waiting", "not_authorised"]);
  const socket = await again();
  assert.deepEqual(socket.accept().credential, { token: "t2" });
  socket.drop(4103, "not_authorised: no; want a new one");
  assert.equal(made.state, "closed");
});

test("why a connection ended is said as well as it is known", async () => {
  const cases = [
    [4104, "denied: no such room, or not for you; want a room of your account", "denied", "no such room, or not for you", "a room of your account"],
    [4002, "", "too_slow", "the connection was closed (4002)", ""],
    [1006, "", "connection_lost", "the connection was closed (1006)", ""],
  ];
  for (const [closeCode, reason, code, what, want] of cases) {
    let error;
    await room({ onState: (_, detail) => (error = detail.error) });
    FakeSocket.last.enter();
    FakeSocket.last.drop(closeCode, reason);
    assert.deepEqual([error.code, error.what, error.want, error.closeCode], [code, what, want, closeCode]);
  }
  let error;
  await room({ onState: (_, detail) => (error = detail.error) });
  FakeSocket.last.drop();
  assert.deepEqual([error.code, error.what], ["unreachable", "no WebSocket could be opened at ws://hub/acme/plant"]);
});

test("ready tells when it is open, with who one is", async () => {
  const made = await room();
  const ready = made.ready();
  FakeSocket.last.drop();
  (await again()).enter();
  assert.equal((await ready).name, "ann");
  assert.equal(await made.ready(), made.me);
});

test("an address may be that of a page", () => {
  globalThis.location = { href: "https://hub.example/" };
  try {
    connect("/acme/plant", { WebSocket: FakeSocket });
    assert.equal(FakeSocket.last.url, "wss://hub.example/acme/plant");
    connect("http://other:1/acme/plant", { WebSocket: FakeSocket });
    assert.equal(FakeSocket.last.url, "ws://other:1/acme/plant");
  } finally {
    delete globalThis.location;
  }
  for (const wrong of ["/acme/plant", "mqtt://hub/acme", ""]) assert.throws(() => connect(wrong, { WebSocket: FakeSocket }), { code: "bad_url" });
});

test("somebody who looks again does not wait for a backoff, and a connection is asked whether it lives", async () => {
  const listeners = {};
  globalThis.document = { hidden: false, addEventListener: (name, then) => (listeners[name] = then), removeEventListener: () => {} };
  try {
    await room();
    FakeSocket.last.enter();
    listeners.visibilitychange();
    assert.ok(FakeSocket.last.asked("ping"));
    mock.timers.tick(5000);
    assert.equal(states.at(-1)[0], "waiting");
    const count = FakeSocket.all.length;
    globalThis.document.hidden = true;
    listeners.visibilitychange();
    assert.equal(FakeSocket.all.length, count);
    globalThis.document.hidden = false;
    listeners.visibilitychange();
    assert.equal(FakeSocket.all.length, count + 1);
  } finally {
    delete globalThis.document;
  }
});

test("the declarations name what is there, and nothing else", () => {
  const text = readFileSync(new URL("../riser.d.ts", import.meta.url), "utf8");
  const declared = [...text.matchAll(/^export (?:class|const|function) (\w+)/gm)].map(([, name]) => name);
  assert.deepEqual(declared.sort(), Object.keys(riser).sort());
  for (const name of ["Room", "Subscription"]) {
    const body = new RegExp(`^export class ${name}\\b[^{]*\\{([^]*?)^\\}`, "m").exec(text)[1];
    const members = [...body.matchAll(/^  (?:readonly )?(\w+)[(:]/gm)].map(([, member]) => member);
    // One with several forms is named once for each.
    const wanted = [...new Set(members)].filter((member) => !["sub"].includes(member));
    const inside = ["asked", "constructor", "request", "started", "hear", "through", "end"];
    const there = Object.getOwnPropertyNames(riser[name].prototype).filter((member) => !inside.includes(member));
    assert.deepEqual(wanted.sort(), there.sort(), name);
  }
});

test("a runtime without WebSocket is told what to give", () => {
  const had = globalThis.WebSocket;
  delete globalThis.WebSocket;
  assert.throws(() => connect("ws://hub/a/b"), { code: "no_websocket" });
  if (had) globalThis.WebSocket = had;
});

test("a lobby answers without subscriptions, and shows its rooms", async () => {
  const door = lobby("ws://hub/", { WebSocket: FakeSocket, credential: { user: "acme/ann", password: "p" } });
  await settle();
  const hello = FakeSocket.last.accept();
  assert.deepEqual([hello.subscriptions, hello.credential.user], [[], "acme/ann"]);
  FakeSocket.last.say({ re: hello.id, ok: { account: "acme", client: "c", name: "ann", connection: 1 } });
  assert.deepEqual(await door.ready(), { account: "acme", client: "c", name: "ann", connection: 1 });
  const rooms = door.rooms();
  FakeSocket.last.say({ re: FakeSocket.last.asked("rooms").id, ok: { rooms: [{ name: "plant", gated: true, members: 3 }] } });
  assert.deepEqual(await rooms, [{ name: "plant", gated: true, members: 3 }]);
  door.close();
});

const den = { account: "acme", room: "den", client: "c", name: "ann", connection: 1 };

test("a room is left for another one, what was read there ends, and a lost connection comes back to the other one", async () => {
  const prompts = [];
  const made = await room({ onPrompt: (prompt) => (prompts.push(prompt), "proof") });
  const [ended, got, read] = [[], [], []];
  made.subscribe("#", { end: (error) => ended.push(error.code), message: () => {} });
  const iterated = made.subscribe("#");
  FakeSocket.last.enter();
  const loop = (async () => {
    for await (const message of iterated) read.push(message.pos);
  })();
  const going = made.enter("den");
  await settle();
  const { id } = FakeSocket.last.asked("enter");
  FakeSocket.last.msg(1, "p0", "p1");
  const sent = FakeSocket.last.sent.length;
  const published = made.publish("a", 1);
  made.subscribe("b/#", { message: (message) => got.push(message.pos) });
  assert.equal(FakeSocket.last.sent.length, sent, "what is asked meanwhile waits");
  FakeSocket.last.say({ ev: "challenge", method: "ed25519", nonce: "n" });
  await settle();
  assert.deepEqual([prompts.length, FakeSocket.last.sent.at(-1)], [1, { op: "answer", proof: "proof" }]);
  for (const sub of [1, 2]) FakeSocket.last.say({ ev: "end", sub, error: { code: "wrong_state", what: "w", want: "x" } });
  FakeSocket.last.say({ re: id, ok: { ...den, ping_s: 25, subscriptions: [] } });
  assert.deepEqual(await going, den);
  assert.deepEqual([made.me, ended], [den, ["closed"]]);
  await loop;
  assert.deepEqual(read, []);
  await settle();
  assert.equal(FakeSocket.last.asked("publish").channel, "a");
  FakeSocket.last.say({ re: FakeSocket.last.asked("publish").id, ok: { pos: "q1" } });
  assert.deepEqual(await published, { pos: "q1" });
  assert.equal(FakeSocket.last.asked("subscribe").channels, "b/#");
  FakeSocket.last.drop();
  const socket = await again();
  assert.equal(socket.url, "ws://hub/acme/den");
  assert.deepEqual(socket.accept().subscriptions.map(({ channels }) => channels), ["b/#"]);
});

test("who is not let into another room goes on where it was", async () => {
  const made = await room();
  const ended = [];
  made.subscribe("#", { end: (error) => ended.push(error.code), message: () => {} });
  made.subscribe("b", { end: (error) => ended.push(error.what), message: () => {} });
  FakeSocket.last.enter();
  const going = made.enter("den");
  await settle();
  await assert.rejects(made.enter("attic"), { code: "wrong_state" });
  const { id } = FakeSocket.last.asked("enter");
  FakeSocket.last.say({ ev: "end", sub: 2, error: { code: "unknown_position", what: "its own reasons", want: "x" } });
  FakeSocket.last.say({ re: id, error: { code: "denied", what: "w", want: "x" } });
  await assert.rejects(going, { code: "denied" });
  assert.deepEqual([made.me.room, ended], ["plant", ["its own reasons"]]);
  FakeSocket.last.drop();
  assert.equal((await again()).url, FakeSocket.all[0].url);
  assert.equal(FakeSocket.last.accept().subscriptions.length, 1);
});

test("who leaves its room is in the lobby, comes back there, and enters another room from there", async () => {
  const made = await room();
  const ended = [];
  made.subscribe("#", { end: (error) => ended.push(error.code), message: () => {} });
  FakeSocket.last.enter();
  const going = made.leave();
  await settle();
  const { id } = FakeSocket.last.asked("leave");
  FakeSocket.last.say({ ev: "end", sub: 1, error: { code: "wrong_state", what: "w", want: "x" } });
  const here = { account: "acme", client: "c", name: "ann", connection: 1 };
  FakeSocket.last.say({ re: id, ok: here });
  assert.deepEqual([await going, made.me, ended], [here, here, ["closed"]]);
  FakeSocket.last.drop();
  const socket = await again();
  assert.equal(socket.url, "ws://hub/user/acme");
  const hello = socket.accept();
  assert.deepEqual(hello.subscriptions, []);
  socket.say({ re: hello.id, ok: here });
  await settle();
  const on = made.enter("den");
  await settle();
  socket.say({ re: socket.asked("enter").id, ok: { ...here, room: "den", ping_s: 25, subscriptions: [] } });
  assert.equal((await on).room, "den");
  socket.drop();
  assert.equal((await again()).url, "ws://hub/acme/den");
});

test("errands are asked for one after the other, whatever becomes of the one before", async () => {
  const made = await room();
  FakeSocket.last.enter();
  const [first, second] = [made.keys(), made.makeKey()];
  await settle();
  const asked = () => FakeSocket.last.sent.filter(({ op }) => op === "keys");
  assert.equal(asked().length, 1);
  FakeSocket.last.say({ re: asked()[0].id, error: { code: "too_many", what: "w", want: "x" } });
  await assert.rejects(first, { code: "too_many" });
  await settle();
  assert.deepEqual(asked()[1].make, "token");
  FakeSocket.last.say({ re: asked()[1].id, ok: { kind: "token", fingerprint: "f", token: "t" } });
  assert.equal((await second).token, "t");
});

test("who knocks waits longer than who only connects, and is let in", async () => {
  const prompts = [];
  await room({ onPrompt: (prompt) => void prompts.push(prompt) });
  const hello = FakeSocket.last.accept();
  FakeSocket.last.say({ ev: "knocked" });
  mock.timers.tick(60_000);
  await settle();
  assert.deepEqual([prompts, FakeSocket.all.length], [[{ type: "knocked" }], 1]);
  FakeSocket.last.say({ re: hello.id, ok: { account: "acme", room: "plant", client: "c", name: "ann", connection: 1, ping_s: 25, subscriptions: [] } });
  assert.equal(states.at(-1)[0], "open");
});

test("a gate that says nothing more is left, and tried again", async () => {
  await room();
  FakeSocket.last.accept();
  FakeSocket.last.say({ ev: "knocked" });
  mock.timers.tick(150_000);
  await settle();
  assert.equal(FakeSocket.all[0].closed, 4001);
});

test("a challenge is answered with what the author signs", async () => {
  await room({ onPrompt: async ({ method, nonce }) => `${method} of ${nonce}` });
  FakeSocket.last.accept();
  FakeSocket.last.say({ ev: "challenge", method: "ed25519", nonce: "n1" });
  await settle();
  assert.deepEqual(FakeSocket.last.asked("answer"), { op: "answer", proof: "ed25519 of n1" });
});

test("devices are asked for without a place unless there is one, as older servers want it", async () => {
  const made = await room();
  FakeSocket.last.enter();
  const asked = made.devices();
  const { id, ...request } = FakeSocket.last.sent.at(-1);
  assert.deepEqual(request, { op: "devices" });
  FakeSocket.last.say({ re: id, ok: { devices: [] } });
  assert.deepEqual(await asked, { devices: [] });
  made.devices({ after: 1000 });
  assert.equal(FakeSocket.last.asked("devices").after, 1000);
});
