import assert from "node:assert/strict";
import { test } from "node:test";
import { Timeline, newest } from "../timeline.js";

const message = (time, data = time) => ({ time, data, type: "application/json", client: "c", pos: `p${time}` });

/** A message each second. */
function steady(timeline, from, to) {
  for (let time = from; time <= to; time += 1000) timeline.add(message(time));
  return timeline;
}

test("what was there at a moment is the newest before it", () => {
  const timeline = steady(new Timeline(0), 1000, 5000);
  assert.equal(timeline.at(999), null);
  assert.equal(timeline.at(1000).value, 1000);
  assert.equal(timeline.at(3999).value, 3000);
  assert.equal(timeline.at(9999).value, 5000);
  assert.deepEqual(timeline.before(3999, 2).map(({ value }) => value), [3000, 2000]);
});

test("what comes late is put where its time is", () => {
  const timeline = new Timeline(0);
  for (const time of [1000, 4000, 2000, 3000, 4000]) timeline.add(message(time));
  assert.deepEqual(timeline.points.map(({ time }) => time), [1000, 2000, 3000, 4000, 4000]);
  assert.equal(timeline.reached, 4000);
});

test("a gap is a hole between the messages around it, with its cause", () => {
  const timeline = steady(new Timeline(0), 1000, 3000);
  timeline.gap("quota", 7);
  assert.deepEqual(timeline.holes(9000), [{ from: 3000, to: 9000, cause: "quota", count: 7 }]);
  steady(timeline, 8000, 9000);
  assert.deepEqual(timeline.holes(10_000), [{ from: 3000, to: 8000, cause: "quota", count: 7 }]);
  assert.deepEqual(timeline.runs(10_000, 1000).map((run) => run.map(({ time }) => time)), [[1000, 2000, 3000], [8000, 9000]]);
});

test("what is gone before the first message is a hole from the moment that was asked for", () => {
  const timeline = new Timeline(500);
  timeline.gap("retention", 30);
  timeline.add(message(2000));
  assert.deepEqual(timeline.holes(3000), [{ from: 500, to: 2000, cause: "retention", count: 30 }]);
  assert.deepEqual(timeline.reach(3000), { from: 500, to: 3000 });
});

test("a plot keeps every column's lowest and highest, however many there are", () => {
  const timeline = new Timeline(0);
  for (let time = 0; time < 20_000; time += 1) timeline.add(message(time, time === 7777 ? 1e6 : time % 10));
  assert.equal(timeline.isFull, true);
  const [run] = timeline.runs(20_000, 100);
  assert.ok(run.length <= 400, `${run.length}`);
  assert.ok(run.some(({ value }) => value === 1e6));
  assert.ok(run.every((point, index) => index === 0 || run[index - 1].time <= point.time));
  assert.deepEqual(timeline.bounds(), { low: 0, high: 1e6 });
});

test("text has no place on the line, and is there all the same", () => {
  const timeline = new Timeline(null);
  timeline.add({ time: 1, data: "hello", type: "text/plain", client: "c", pos: "p" });
  assert.equal(timeline.bounds(), null);
  assert.deepEqual(timeline.runs(2, 10), []);
  assert.equal(timeline.at(1).text, "hello");
});

test("what a session said goes when it ends, and nothing else", () => {
  const timeline = new Timeline(0);
  timeline.add({ ...message(1000), session: "s" });
  timeline.add(message(2000));
  timeline.wipe("s");
  assert.deepEqual(timeline.points.map(({ value }) => value), [2000]);
});

test("what is gone of an edge is shown where it was told, within the span, and the line goes on", () => {
  const timeline = steady(new Timeline(1000), 1000, 5000);
  const gone = { cause: "quota", count: 7, atLeast: false, edge: "cellar" };
  for (const at of [500, 3500]) timeline.lose(at, gone);
  assert.deepEqual(timeline.holes(6000), [{ from: 3500, to: 3500, ...gone }]);
  assert.equal(timeline.runs(6000, 1000).length, 1);
});

test("what is gone of edges stands in the order of time, and crowds out nothing of the channel's own", () => {
  const timeline = steady(new Timeline(0), 1000, 3000);
  timeline.gap("quota", 7);
  const edge = { cause: "evicted", count: 1, atLeast: false, edge: "cellar" };
  for (let at = 100; at < 200; at += 1) timeline.lose(at, edge);
  for (let at = 3100; at < 3200; at += 1) timeline.lose(at, edge);
  const own = { from: 3000, to: 9000, cause: "quota", count: 7 };
  const holes = timeline.holes(9000);
  assert.deepEqual(holes[100], own, "between what was told before it and after it");
  const shown = newest(holes, 50);
  assert.deepEqual(shown[0], own);
  assert.deepEqual(shown.slice(1).map(({ from }) => from), Array.from({ length: 50 }, (_, n) => 3150 + n));
});
