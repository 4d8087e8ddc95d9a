// Receipts: one for each, under one id, in order.

import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeSocket, again, alone, room } from "./fake.js";

alone();

test("publish resolves with the receipt and keeps the kinds of values apart", async () => {
  const made = await room();
  const early = made.publish("a/b", { x: 1 });
  const socket = FakeSocket.last;
  socket.enter();
  const { publish_id, ...asked } = socket.asked("publish");
  assert.deepEqual(asked, { op: "publish", channel: "a/b", data: { x: 1 }, id: 2 });
  assert.match(publish_id.producer, /^[0-9]{1,20}$/);
  assert.equal(publish_id.n, "1");
  socket.say({ re: 2, ok: { pos: "p1" } });
  assert.deepEqual(await early, { pos: "p1" });
  for (const [value, type, sent] of [
    ["t", undefined, { data: "t" }],
    [null, undefined, { data: null }],
    ["<p>", "text/html", { type: "text/html", data: "<p>" }],
    [new Uint8Array([0, 255]), undefined, { data_b64: "AP8=" }],
    [new Uint8Array([0, 255]).buffer, "image/png", { type: "image/png", data_b64: "AP8=" }],
    [new DataView(new Uint8Array([9, 0, 255, 9]).buffer, 1, 2), undefined, { data_b64: "AP8=" }],
  ]) {
    made.publish("c", value, { type });
    const { op, id, publish_id, ...rest } = socket.sent.at(-1);
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
  const [{ publish_id: id1, ...first }, { publish_id: id2, ...second }] = FakeSocket.last.asked("publish").messages;
  assert.deepEqual([first, second], [{ channel: "a", data: 1 }, { channel: "b", data: "x" }]);
  assert.deepEqual([id1.n, id2.n, id1.producer], ["1", "2", id2.producer]);
  const refused = (code) => ({ error: { code, what: "w", want: "x" } });
  FakeSocket.last.say({ re: 2, ok: { receipts: [refused("dup"), refused("denied")] } });
  const [one, two] = await receipts;
  assert.deepEqual([one, two.error.code], [{ dup: true }, "denied"]);
});

test("a publish without its receipt is sent again under its own id, in order, and dup is a receipt", async () => {
  const made = await room();
  FakeSocket.last.enter();
  const kept = made.publish("a", 1);
  const value = { changes: "later" };
  const late = made.publish("a", value);
  value.changes = "too late";
  const [first, second] = FakeSocket.last.sent.slice(-2);
  FakeSocket.last.drop();
  const waiting = made.publish("a", 3);
  const socket = await again();
  socket.enter();
  const sent = socket.sent.filter(({ op }) => op === "publish");
  assert.deepEqual(sent.map(({ publish_id }) => publish_id.n), ["1", "2", "3"]);
  assert.deepEqual(sent.slice(0, 2).map(({ id, ...rest }) => rest), [first, second].map(({ id, ...rest }) => rest));
  socket.say({ re: sent[0].id, error: { code: "dup", what: "w", want: "x" } });
  socket.say({ re: sent[1].id, ok: { pos: "p2" } });
  socket.say({ re: sent[2].id, ok: { pos: "p3" } });
  assert.deepEqual([await kept, await late, await waiting], [{ dup: true }, { pos: "p2" }, { pos: "p3" }]);
});

test("what waits goes before what a listener publishes when it hears that the connection is open", async () => {
  const made = await room({ onState: (state) => state === "open" && made.publish("a", "new") });
  made.publish("a", "old");
  made.subscribe("a", { start: () => made.publish("a", "newer") });
  FakeSocket.last.enter();
  const sent = FakeSocket.last.sent.filter(({ op }) => op === "publish");
  assert.deepEqual(sent.map(({ data, publish_id }) => [data, publish_id.n]), [["old", "1"], ["new", "2"], ["newer", "3"]]);
});

test("a publish may bring its own id", async () => {
  const made = await room();
  FakeSocket.last.enter();
  made.publish("a", 1, { id: { producer: 2n ** 63n, n: 7 } });
  assert.deepEqual(FakeSocket.last.asked("publish").publish_id, { producer: "9223372036854775808", n: "7" });
});

test("what a server refuses because it goes down is for the next connection", async () => {
  const made = await room();
  FakeSocket.last.enter();
  const kept = made.publish("a", 1);
  const after = made.publish("a", 2);
  FakeSocket.last.say({ re: 2, error: { code: "shutting_down", what: "w", want: "x" } });
  FakeSocket.last.drop(4000);
  const socket = await again();
  socket.enter();
  const sent = socket.sent.filter(({ op }) => op === "publish");
  assert.deepEqual(sent.map(({ data }) => data), [1, 2]);
  for (const { id } of sent) socket.say({ re: id, ok: { pos: `p${id}` } });
  assert.ok((await kept).pos && (await after).pos);
});

test("what waits is bounded", async () => {
  const made = await room({ waitingMax: 2 });
  const one = made.publish("a", 1);
  made.publish("a", 2);
  await assert.rejects(made.publish("a", 3), { code: "too_many" });
  FakeSocket.last.enter();
  FakeSocket.last.say({ re: 2, ok: { pos: "p1" } });
  await one;
  made.publish("a", 4);
  assert.equal(FakeSocket.last.asked("publish").data, 4);

  const narrow = await room({ waitingBytesMax: 1000 });
  narrow.publish("a", "x".repeat(500));
  await assert.rejects(narrow.publish("a", "x".repeat(500)), { code: "too_many" });
  const wide = await room();
  await assert.rejects(wide.publish("a", "é".repeat(600_000)), { code: "too_large" });
});
