// A WebSocket whose other end is the test, and a room on one.

import { afterEach, beforeEach, mock } from "node:test";
import { connect } from "../riser.js";

export class FakeSocket {
  static all = [];

  constructor(url, protocol) {
    this.url = url;
    this.protocol = protocol;
    this.sent = [];
    this.closed = null;
    FakeSocket.all.push(this);
  }

  static get last() {
    return FakeSocket.all.at(-1);
  }

  send(text) {
    this.sent.push(JSON.parse(text));
  }

  close(code) {
    this.closed = code;
  }

  // The server's side.

  accept() {
    this.onopen?.({});
    return this.sent.at(-1);
  }

  say(message) {
    this.onmessage?.({ data: JSON.stringify(message) });
  }

  drop(code = 1006, reason = "") {
    this.onclose?.({ code, reason });
  }

  /** Accepts and answers hello; `started` by sub, default from position p0. */
  enter(started = {}) {
    const hello = this.accept();
    const subscriptions = hello.subscriptions.map(({ sub, from }) => ({
      sub,
      complete: "full",
      gaps: [],
      pos: from?.after ?? "p0",
      ...started[sub],
    }));
    this.say({ re: hello.id, ok: { account: "acme", room: "plant", client: "c", name: "ann", connection: 1, ping_s: 25, subscriptions } });
    return hello;
  }

  /** The last request of that op. */
  asked(op) {
    return this.sent.findLast((request) => request.op === op);
  }

  msg(sub, prev, pos, fields = {}) {
    this.say({ ev: "msg", sub, prev, pos, channel: "a", client: "c", time: 1, type: "application/json", data: pos, ...fields });
  }
}

export const states = [];

/** Lets promises that are already decided run. */
export const settle = async () => {
  for (let i = 0; i < 10; i += 1) await null;
};

/** Every test of the calling file has its own time and sockets. */
export function alone() {
  beforeEach(() => {
    mock.timers.enable({ apis: ["setTimeout", "Date"] });
    FakeSocket.all = [];
    states.length = 0;
  });
  afterEach(() => mock.timers.reset());
}

export async function room(options = {}) {
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
export async function again() {
  mock.timers.tick(5000);
  await settle();
  return FakeSocket.last;
}

/** What the system says. */
export function said(sub, pos, prev, kind) {
  const event = { specversion: "1.0", id: `e-${kind}`, time: "t", type: `riser.${kind}`, data: { n: kind } };
  return { ev: "event", sub, pos, prev, scope: "room", event };
}

/** Handlers that note what they were told. */
export function recorder() {
  const seen = [];
  const handlers = {
    message: (message) => seen.push(message.data),
    gap: (gap) => seen.push(`gap ${gap.count} ${gap.cause}`),
    start: (start) => seen.push(`start ${start.pos}`),
    end: (error) => seen.push(`end ${error.code}`),
    event: ({ event }) => seen.push(event.type),
  };
  return { seen, handlers };
}
