import assert from "node:assert/strict";
import { test } from "node:test";
import { Series, WINDOW_MS, decimals, duration, readable, shown, whole } from "../series.js";

/** A series with a point each second from `from` to `to`. */
function steady(from, to, series = new Series()) {
  for (let time = from; time <= to; time += 1000) series.add(time, time);
  return series;
}

test("nothing is a hole while points keep their pace", () => {
  const series = steady(0, 20_000);
  assert.equal(series.pace(), 1000);
  assert.deepEqual(series.holes(21_000), []);
});

test("silence is a hole up to now, and a late backlog fills it in place", () => {
  const series = steady(0, 20_000);
  assert.deepEqual(series.holes(30_000), [{ from: 20_000, to: 30_000, gone: null }]);
  steady(21_000, 25_000, series);
  assert.deepEqual(series.holes(30_000), [{ from: 25_000, to: 30_000, gone: null }]);
  steady(26_000, 30_000, series);
  assert.deepEqual(series.holes(30_000), []);
});

test("between two points nothing is still to come, however long nothing was said", () => {
  const series = new Series();
  for (let n = 0; n <= 10; n += 1) series.add(n * 1000, n);
  series.add(30_000, 1);
  assert.deepEqual(series.holes(30_500), []);
  assert.deepEqual(series.holes(40_000), [{ from: 30_000, to: 40_000, gone: null }]);
});

test("what is gone stays a hole, with its cause, and only where nothing is", () => {
  const series = steady(0, 20_000);
  series.gap({ cause: "quota", count: 7 });
  steady(30_000, 40_000, series);
  assert.deepEqual(series.holes(40_000), [{ from: 20_000, to: 30_000, gone: { cause: "quota", count: 7 } }]);
  const spared = steady(0, 20_000);
  spared.gap({ cause: "quota", count: 7 });
  steady(21_000, 40_000, spared);
  assert.deepEqual(spared.holes(40_000), []);
});

test("latest stands aside until the points have reached it", () => {
  const series = steady(0, 20_000);
  series.show(20_000, 1);
  assert.deepEqual(series.ahead, [], "it is a point already");
  series.show(30_000, 2);
  series.show(31_000, 3);
  series.show(30_500, 4);
  assert.deepEqual(series.ahead.map(({ value }) => value), [2, 3], "the present never steps back");
  assert.equal(series.newest().value, 3);
  series.add(30_000, 2);
  assert.deepEqual(series.ahead.map(({ value }) => value), [3]);
});

test("a clock that steps back does not turn the line back", () => {
  const series = steady(0, 5000);
  series.add(1000, 9);
  assert.equal(series.last.time, 5000);
});

test("what left the window is forgotten, but for one point that the line enters from", () => {
  const series = steady(0, 200_000);
  series.trim(200_000);
  assert.equal(series.points[0].time, 200_000 - WINDOW_MS - 1000);
  const wide = new Series();
  for (const time of [0, 50_000, 150_000]) wide.add(time, 1);
  wide.gap({ cause: "quota", count: 1 });
  wide.trim(150_000);
  assert.deepEqual(wide.points.map(({ time }) => time), [50_000, 150_000]);
  assert.equal(wide.gaps.length, 1);
  const many = new Series();
  for (let i = 0; i < 5000; i += 1) many.add(i, i);
  many.trim(5000);
  assert.equal(many.points.length, 3000);
});

test("a message shows its number, wherever it is, or its text", () => {
  const utf8 = (text) => new TextEncoder().encode(text);
  for (const [message, expected] of [
    [{ type: "application/json", data: 2.5 }, { number: 2.5, unit: "" }],
    [{ type: "application/json", data: { value: 3, unit: "°C", n: 9 } }, { number: 3, unit: "°C" }],
    [{ type: "application/json", data: { state: "on", watts: 12 } }, { number: 12, unit: "" }],
    [{ type: "application/json", data: { state: "on" } }, { text: '{"state":"on"}' }],
    [{ type: "application/json", data: "21.5" }, { text: "21.5" }],
    [{ type: "text/plain", data: "21.5" }, { number: 21.5, unit: "" }],
    [{ type: "text/plain", data: "open" }, { text: "open" }],
    [{ type: "application/octet-stream", bytes: utf8('{"value":1}') }, { number: 1, unit: "" }],
    [{ type: "application/octet-stream", bytes: new Uint8Array([255, 0]) }, { text: "2 bytes" }],
    [{ type: "application/json", data: null }, { text: "null" }],
  ]) {
    assert.deepEqual(shown(message), expected);
  }
});

test("numbers read well", () => {
  assert.deepEqual(readable(46, "°C", 1), ["46.0", "°C"]);
  assert.deepEqual(readable(2.345, ""), ["2.35", ""]);
  assert.deepEqual(readable(1234567, ""), ["1\u202f234\u202f567", ""]);
  assert.deepEqual(readable(3.1 * 1024 ** 3, "B"), ["3.10", "GiB"]);
  assert.deepEqual(readable(512, "B"), ["512", "B"]);
  assert.deepEqual(readable(0, "B"), ["0", "B"]);
  assert.deepEqual([decimals(1), decimals(1.5), decimals(1.234), decimals(1e21)], [0, 1, 2, 0]);
  assert.equal(whole(1234567), "1\u202f234\u202f567");
  assert.deepEqual([0, 99.6, 400, 1234, 59_000, 180_000, 7_200_000].map(duration), ["0 ms", "100 ms", "0.4 s", "1.2 s", "59 s", "3 min", "2 h"]);
  assert.equal(duration(null), "–");
});

test("what a session said goes when it ends, and nothing else", () => {
  const series = new Series();
  series.add(1000, 1, "s");
  series.add(2000, 2);
  series.show(3000, 3, "s");
  series.wipe("s");
  assert.deepEqual(series.points.map(({ value }) => value), [2]);
  assert.equal(series.newest().value, 2);
});

test("what an edge lost is a hole only where nothing is, and by when it was told", () => {
  const series = new Series();
  for (let time = 0; time <= 10_000; time += 1000) series.add(time, 1);
  const gone = { cause: "edge_lost", count: 3, atLeast: true, edge: "cellar" };
  // Told long after: nothing is missing here.
  series.gap(gone, 5500);
  for (let time = 11_000; time <= 20_000; time += 1000) series.add(time, 1);
  assert.deepEqual(series.holes(20_500), []);
  series.gap(gone, 27_000);
  series.add(30_000, 1);
  assert.deepEqual(series.holes(30_500), [{ from: 20_000, to: 30_000, gone }]);
});
