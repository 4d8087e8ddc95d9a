// A WebSocket whose other end is the test.

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
