import assert from "node:assert/strict";
import { test } from "node:test";
import { Said } from "../board.js";

const said = (pos, data, more = {}) => ({ pos, channel: "news", client: "c", time: 1, type: "text/plain", data, ...more });
const texts = (board) => board.all.map(({ text, edited }) => (edited === null ? text : `${text} (edited)`));

test("another wording takes the place of the first, whichever is seen first", () => {
  const board = new Said();
  board.add(said("p5", "five"));
  board.add(said("p6", "FIVE", { replaces: "p5", time: 9 }));
  assert.deepEqual(texts(board), ["FIVE (edited)"]);
  board.add(said("p7", "TWO", { replaces: "p2", time: 9 }));
  board.before([said("p2", "two"), said("p3", "three"), said("p4", "two!", { replaces: "p2", time: 5 })]);
  assert.deepEqual(texts(board), ["TWO (edited)", "three", "FIVE (edited)"], "the last wording counts");
  board.before([said("p0", "zero"), said("p1", "ZERO", { replaces: "p0", time: 3 })]);
  assert.deepEqual(texts(board), ["ZERO (edited)", "TWO (edited)", "three", "FIVE (edited)"]);
  assert.equal(board.oldest, "p0");
});

test("what is here already is not shown twice", () => {
  const board = new Said();
  board.add(said("p2", "two"));
  assert.equal(board.add(said("p2", "two")), null);
  assert.deepEqual(board.before([said("p1", "one"), said("p2", "two")]).map(({ text }) => text), ["one"]);
  assert.deepEqual(texts(board), ["one", "two"]);
});

test("what is no text is shown for what it is", () => {
  const board = new Said();
  board.add(said("p1", { celsius: 3 }));
  board.add({ ...said("p2"), bytes: new Uint8Array(7) });
  board.before([{ ...said("p0"), data: undefined, data_b64: "AAAA" }]);
  assert.deepEqual(texts(board), ["3 bytes", '{"celsius":3}', "7 bytes"]);
});

test("what a session said goes when it ends, and nothing else", () => {
  const board = new Said();
  board.add(said("p1", "stays"));
  board.add(said("p2", "goes", { session: "s" }));
  assert.deepEqual(board.wipe("s").map(({ pos }) => pos), ["p2"]);
  assert.deepEqual(texts(board), ["stays"]);
});
