import assert from "node:assert/strict";
import { test } from "node:test";
import { depth, state, told } from "../tree.js";

const at = (ms) => `${ms}`;
const low = {
  log: "5ca7c8bfc1c86dba", name: "low", client: "c", path: [], state: "flowing", since: 5, lag_ms: 0,
  backlog: 0, eta_s: 0, accepted: 90, synced: 90, gapped: 0,
};

test("an edge below says what its link does and what is here", () => {
  assert.equal(told(low, false, at), "● flowing · nothing waits · 90 of 90 here");
  const behind = { ...low, state: "behind", backlog: 1200, accepted: 1290, lag_ms: 3000, eta_s: 12, gapped: 2 };
  assert.match(told(behind, false, at), /^◐ catching up · 1.?200 wait, .+ · done in .+ · 90 of 1.?290 here, 2 gone$/);
  assert.match(told({ ...behind, eta_s: null }, false, at), /done in: unknown/);
});

test("of one whose link is down, or unknown, what is known is the least, since when", () => {
  const offline = { ...low, state: "offline", backlog: 3, accepted: 93, lag_ms: 4000, eta_s: null };
  assert.match(told(offline, false, at), /^✕ offline since 5 · at least 3 wait, ≥ .+ · 90 of 93 here$/);
  assert.equal(told({ ...low, state: "unknown", since: 7 }, true, at), "? unknown since 7 · 90 of 90 here");
  const never = { ...low, log: null, state: "offline", lag_ms: null, accepted: 0, synced: 0 };
  assert.equal(told(never, false, at), "✕ offline since 5");
});

test("a log of which nobody says whose it is goes by the edge that brings it", () => {
  const log = { log: "5ca7c8bfc1c86dba", accepted: 9, synced: 8, gapped: 1 };
  assert.equal(told(log, false, at), "8 of 9 here, 1 gone");
  assert.equal(told(log, true, at), "cut off, 8 of 9 here, 1 gone");
  assert.deepEqual([state(log, true), state(log, false), state(low, true)], ["cut", "reached", "flowing"]);
});

test("an edge is as deep as edges are between", () => {
  assert.deepEqual([depth(low), depth({ ...low, path: ["a", "b"] }), depth({ log: "l" })], [0, 2, 0]);
});
