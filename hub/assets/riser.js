// A client of Riser's envelope protocol (WebSocket sub-protocol riser.v1.json). No dependencies, no build step:
// browsers load it as a module, Node 20 and later import it (where there is no global WebSocket, give one).
//
// What always holds:
// - A subscription's handlers see every message once and in order, across reconnects: it resumes from its own
//   last position, and a message that does not follow that position is not handed out but asked for again.
// - What is gone is told to `gap`, in place. What `conflate` passed over is counted in `skipped`.
// - `publish` resolves only with a receipt, after the server's commit. If the connection breaks before the
//   receipt, it rejects with code `unknown_outcome`; with `producer` it is sent again under the same id instead.
// - A connection that the server closed for a reason that would only repeat itself (4100-4199) is not tried again.

/** What went wrong: `code` for programs, `what` was wrong and `want` would be right for people. */
export class RiserError extends Error {
  constructor({ code, what, want = "" }) {
    super(want ? `${code}: ${what}; want ${want}` : `${code}: ${what}`);
    this.name = "RiserError";
    this.code = code;
    this.what = what;
    this.want = want;
  }
}

export const SUBPROTOCOL = "riser.v1.json";

const DEFAULTS = {
  backoffMinMs: 250,
  backoffMaxMs: 5000,
  connectTimeoutMs: 10000,
  // Publishes that wait for a connection or a receipt.
  waitingMax: 1000,
};

/** Connects to a room: `connect("wss://hub.example/acme/plant", { credential: { user, password } })`. */
export function connect(url, options = {}) {
  return new Room(url, options);
}

/** Whether a client closed with this code should come back by itself. */
export function comesBack(code) {
  return !(code >= 4100 && code < 4200) && code !== 1008;
}

/** The bytes of a payload, whatever form it came in. */
export function bytesOf(message) {
  if (message.bytes) return message.bytes;
  const text = isJson(message.type) ? JSON.stringify(message.data) : String(message.data);
  return new TextEncoder().encode(text);
}

export class Room {
  #url;
  #options;
  #WebSocket;
  #socket = null;
  #state = "connecting";
  #entered = false;
  #attempts = 0;
  #notBeforeMs = 0;
  #timer = null;
  #silenceMs = 60000;
  #lastId = 0;
  #lastSub = 0;
  #lastN = 0;
  #requests = new Map();
  #subscriptions = new Map();
  #waiting = [];
  #bye = null;
  #me = null;
  #online = () => this.#hurry();

  constructor(url, options) {
    this.#url = String(url);
    this.#options = { ...DEFAULTS, ...options };
    this.#WebSocket = options.WebSocket ?? globalThis.WebSocket;
    if (!this.#WebSocket) {
      throw new RiserError({
        code: "no_websocket",
        what: "this runtime has no WebSocket",
        want: "the option WebSocket, for example the class that npm's ws exports",
      });
    }
    globalThis.addEventListener?.("online", this.#online);
    this.#open();
  }

  /** `connecting`, `open`, `waiting` (to connect again) or `closed`. */
  get state() {
    return this.#state;
  }

  /** What the server said of this connection: account, room, client, name, connection. Null before the first. */
  get me() {
    return this.#me;
  }

  /**
   * Subscribes to channels of the room. Handlers: `message`, `gap`, `start`, `end`.
   * Options: `from` ("live", "start", {last: n}, {after: position}), `flow` ("credit", "conflate"), `credit`.
   */
  subscribe(channels, handlers, options = {}) {
    return this.#subscribe({ channels, ...options }, handlers);
  }

  /** Subscribes to the technical channel of the `room` or the `account`. Handlers: `event`, `start`, `end`. */
  subscribeTechnical(scope, handlers) {
    return this.#subscribe({ technical: scope }, handlers);
  }

  /**
   * Publishes and resolves with `{pos}` after the commit. `value` is text if it is a string, bytes if it is a
   * Uint8Array or ArrayBuffer, JSON otherwise.
   */
  publish(channel, value, { type } = {}) {
    return this.#publish({ op: "publish", ...this.#message(channel, value, type) });
  }

  /** Publishes several in one commit; resolves with one receipt each: `{pos}` or `{error}`. */
  async publishMany(messages) {
    const prepared = messages.map(({ channel, value, type }) => this.#message(channel, value, type));
    const { receipts } = await this.#publish({ op: "publish", messages: prepared });
    return receipts.map((receipt) => (receipt.error ? { error: new RiserError(receipt.error) } : receipt));
  }

  /** Resolves when the server answered. */
  async ping() {
    await this.#request({ op: "ping" });
  }

  /** Closes for good. What waits for an answer is rejected. */
  close() {
    this.#finish(new RiserError({ code: "closed", what: "this client was closed" }), 1000);
  }

  // Connecting, and again.

  async #open() {
    this.#setState("connecting");
    this.#entered = false;
    this.#bye = null;
    let socket;
    try {
      const credential = await this.#credential();
      if (this.#state === "closed") return;
      socket = new this.#WebSocket(this.#url, SUBPROTOCOL);
      this.#socket = socket;
      socket.onopen = () => this.#hello(socket, credential);
    } catch (error) {
      return this.#lost(1006, error);
    }
    socket.onmessage = (event) => socket === this.#socket && this.#hear(event.data);
    socket.onclose = (event) => socket === this.#socket && this.#lost(event.code, event.reason);
    // An error is always followed by a close, which says all there is to know.
    socket.onerror = () => {};
    this.#watch(this.#options.connectTimeoutMs);
  }

  async #credential() {
    const { credential } = this.#options;
    return typeof credential === "function" ? await credential() : credential;
  }

  #hello(socket, credential) {
    if (socket !== this.#socket) return;
    const subscriptions = [...this.#subscriptions.values()].map((subscription) => subscription.request());
    const hello = { op: "hello", credential, subscriptions };
    const entered = (ok) => {
      this.#entered = true;
      this.#attempts = 0;
      this.#notBeforeMs = 0;
      this.#me = ok;
      this.#silenceMs = (ok.ping_s ?? 25) * 2000 + 5000;
      this.#setState("open");
      for (const started of ok.subscriptions) {
        const subscription = this.#subscriptions.get(started.sub);
        if (subscription) subscription.started(started);
        else this.#forget(started.sub);
      }
      for (const waiting of this.#waiting.splice(0)) this.#send(waiting);
      // Subscriptions that were asked for while hello was under way.
      for (const subscription of this.#subscriptions.values()) {
        if (!subscription.asked) this.#ask(subscription);
      }
    };
    const id = ++this.#lastId;
    for (const subscription of this.#subscriptions.values()) subscription.asked = true;
    this.#requests.set(id, { resolve: entered, reject: () => {} });
    socket.send(JSON.stringify({ ...hello, id }));
  }

  #hear(text) {
    this.#watch(this.#silenceMs);
    let message;
    try {
      message = JSON.parse(text);
    } catch {
      return this.#cut("the server said something that is not JSON");
    }
    if ("re" in message) return this.#answered(message);
    if (message.ev === "bye") {
      this.#bye = message;
    } else if (message.ev === "ping") {
      for (const [sub, position] of Object.entries(message.through)) {
        this.#subscriptions.get(Number(sub))?.through(position);
      }
    } else {
      this.#subscriptions.get(message.sub)?.hear(message);
    }
  }

  #answered({ re, ok, error }) {
    const request = this.#requests.get(re);
    this.#requests.delete(re);
    if (error) {
      if (!request) return this.#report(new RiserError(error));
      request.reject(new RiserError(error));
    } else {
      request?.resolve(ok);
    }
  }

  /** The connection is gone: reject or keep what waits, and come back unless that is pointless. */
  #lost(code, cause) {
    this.#disarm();
    this.#detach();
    this.#entered = false;
    const why = this.#bye ?? {
      code: "connection_lost",
      what: cause ? String(cause.message ?? cause) : `closed with ${code}`,
      want: "a connection",
    };
    const error = new RiserError(why);
    error.closeCode = this.#bye?.close ?? code;
    if (!comesBack(error.closeCode)) return this.#finish(error, 1000);
    const again = [];
    for (const request of this.#requests.values()) {
      if (request.resend) again.push(request);
      else request.reject(new RiserError({ ...why, code: request.publish ? "unknown_outcome" : why.code }));
    }
    this.#requests.clear();
    this.#waiting.push(...again);
    for (const subscription of this.#subscriptions.values()) subscription.asked = false;
    const ceiling = Math.min(this.#options.backoffMaxMs, this.#options.backoffMinMs * 2 ** this.#attempts);
    this.#attempts += 1;
    const jitter = (this.#options.random ?? Math.random)() * ceiling;
    const delay = (this.#bye?.after_ms ?? 0) + jitter;
    this.#notBeforeMs = Date.now() + (this.#bye?.after_ms ?? 0);
    this.#setState("waiting", { error, retryMs: delay });
    this.#timer = setTimeout(() => this.#open(), delay);
  }

  /** A route came up: no need to wait for the rest of a backoff, unless the server asked for it. */
  #hurry() {
    if (this.#state !== "waiting" || Date.now() < this.#notBeforeMs) return;
    this.#disarm();
    this.#open();
  }

  #finish(error, code) {
    if (this.#state === "closed") return;
    this.#disarm();
    globalThis.removeEventListener?.("online", this.#online);
    const socket = this.#detach();
    this.#setState("closed", { error });
    try {
      socket?.close(code);
    } catch {
      // It was not open any more.
    }
    for (const request of [...this.#requests.values(), ...this.#waiting]) request.reject(error);
    this.#requests.clear();
    this.#waiting = [];
    for (const subscription of [...this.#subscriptions.values()]) subscription.end(error);
    this.#subscriptions.clear();
  }

  #detach() {
    const socket = this.#socket;
    this.#socket = null;
    if (socket) socket.onopen = socket.onmessage = socket.onclose = null;
    return socket;
  }

  #cut(what) {
    const socket = this.#detach();
    try {
      socket?.close(4001, "silent");
    } catch {
      // It was not open any more.
    }
    this.#lost(1006, new Error(what));
  }

  #watch(ms) {
    this.#disarm();
    this.#timer = setTimeout(() => this.#cut(`nothing was heard for ${Math.round(ms / 1000)} s`), ms);
    this.#timer.unref?.();
  }

  #disarm() {
    clearTimeout(this.#timer);
    this.#timer = null;
  }

  #setState(state, detail = {}) {
    this.#state = state;
    this.#call(this.#options.onState, state, detail);
  }

  #call(handler, ...args) {
    try {
      handler?.(...args);
    } catch (error) {
      this.#report(error);
    }
  }

  #report(error) {
    (this.#options.onError ?? ((e) => console.error(e)))(error);
  }

  // Requests.

  #request(body, { publish = false } = {}) {
    return new Promise((resolve, reject) => {
      const request = { body, resolve, reject, publish, resend: publish && this.#options.producer != null };
      if (this.#state === "closed") {
        reject(new RiserError({ code: "closed", what: "this client is closed", want: "a new one" }));
      } else if (this.#waiting.length + this.#requests.size >= this.#options.waitingMax) {
        const what = `${this.#options.waitingMax} requests wait already`;
        reject(new RiserError({ code: "too_many", what, want: "wait for receipts" }));
      } else if (this.#entered) {
        this.#send(request);
      } else {
        this.#waiting.push(request);
      }
    });
  }

  #send(request) {
    const id = ++this.#lastId;
    this.#requests.set(id, request);
    this.#socket.send(JSON.stringify({ ...request.body, id }));
  }

  async #publish(body) {
    try {
      return await this.#request(body, { publish: true });
    } catch (error) {
      // Sent again, and it had arrived the first time.
      if (error.code === "dup" && this.#options.producer != null) return { dup: true };
      throw error;
    }
  }

  #message(channel, value, type) {
    const message = { channel };
    if (type !== undefined) message.type = type;
    const bytes = value instanceof ArrayBuffer ? new Uint8Array(value) : value;
    if (bytes instanceof Uint8Array) message.data_b64 = toBase64(bytes);
    else message.data = value === undefined ? null : value;
    const { producer } = this.#options;
    if (producer != null) message.publish_id = { producer: String(producer), n: String(++this.#lastN) };
    return message;
  }

  // Subscriptions.

  #subscribe(want, handlers) {
    const sub = ++this.#lastSub;
    const room = {
      ask: (subscription) => this.#ask(subscription),
      credit: (n) => {
        if (this.#entered) this.#socket.send(JSON.stringify({ op: "credit", sub, n }));
        return this.#entered;
      },
      forget: () => this.#unsubscribe(sub),
      call: (handler, ...args) => this.#call(handler, ...args),
    };
    const subscription = new Subscription(sub, want, handlers, room);
    this.#subscriptions.set(sub, subscription);
    if (this.#entered) this.#ask(subscription);
    return subscription;
  }

  #ask(subscription) {
    if (!this.#entered) return;
    subscription.asked = true;
    const request = {
      body: { op: "subscribe", ...subscription.request() },
      resolve: (started) => subscription.started(started),
      reject: (error) => {
        // A lost connection asks again by itself.
        if (this.#entered) subscription.started({ sub: subscription.sub, error });
      },
    };
    this.#send(request);
  }

  async #unsubscribe(sub) {
    if (this.#subscriptions.delete(sub)) await this.#forget(sub);
  }

  async #forget(sub) {
    if (!this.#entered) return;
    try {
      await this.#request({ op: "unsubscribe", sub });
    } catch {
      // It ended with its connection, or the server had ended it before.
    }
  }
}

/** A subscription: `position` is where it is, null before it started and on technical channels. */
export class Subscription {
  #want;
  #handlers;
  #room;
  #ended = false;
  /** A jump was seen: what comes before the answer is not ours. */
  #resuming = false;
  #credit;
  #unsaid = 0;

  constructor(sub, want, handlers, room) {
    this.sub = sub;
    this.position = null;
    this.asked = false;
    this.#want = want;
    this.#handlers = handlers;
    this.#room = room;
    this.#credit = want.credit ?? null;
  }

  /** So many more messages may come. Only for subscriptions made with `credit`. */
  credit(n) {
    if (this.#credit === null) throw new RiserError({ code: "wrong_state", what: "no credit was agreed on", want: "subscribe with credit" });
    this.#credit += n;
    this.#unsaid += n;
    this.#sayCredit();
  }

  /** What was given while a connection was being made is said after it. */
  #sayCredit() {
    if (this.asked && this.#unsaid > 0 && this.#room.credit(this.#unsaid)) this.#unsaid = 0;
  }

  /** Ends it. */
  async unsubscribe() {
    this.#ended = true;
    await this.#room.forget();
  }

  /** What to ask the server for: a position once there is one. */
  request() {
    const { channels, technical, from, flow } = this.#want;
    const request = { sub: this.sub };
    if (technical) return { ...request, technical };
    request.channels = channels;
    if (this.position) request.from = { after: this.position };
    else if (from !== undefined) request.from = from;
    if (flow !== undefined) request.flow = flow;
    if (this.#credit !== null) request.credit = this.#credit;
    this.#unsaid = 0;
    return request;
  }

  started({ error, pos, complete, gaps = [] }) {
    if (this.#ended) return;
    this.#resuming = false;
    if (error?.code === "unknown_position") return this.#forked(error);
    if (error) return this.end(error instanceof RiserError ? error : new RiserError(error));
    // From here on it goes on from where it is, whatever it was asked to begin with.
    if (!this.#want.technical) this.position = pos;
    this.#sayCredit();
    this.#room.call(this.#handlers.start, { pos, complete, gaps });
    for (const gap of gaps) this.#room.call(this.#handlers.gap, { ...gap, pos });
  }

  /** The log in which its position was is not there any more: nobody can say what is missing. */
  #forked(error) {
    const pos = this.position;
    this.position = null;
    this.#want = { ...this.#want, from: "live" };
    this.#room.call(this.#handlers.gap, { from: null, to: null, count: null, cause: error.code, pos });
    this.#room.ask(this);
  }

  hear(push) {
    if (this.#ended || this.#resuming) return;
    if (push.ev === "msg") this.#message(push);
    else if (push.ev === "gap") {
      this.position = push.pos;
      const { from, to, count, cause, pos } = push;
      this.#room.call(this.#handlers.gap, { from, to, count, cause, pos });
    } else if (push.ev === "event") this.#room.call(this.#handlers.event, push.event, push);
    else if (push.ev === "end") this.end(new RiserError(push.error));
  }

  #message(push) {
    if (push.prev !== this.position && !push.latest) {
      this.#resuming = true;
      this.#room.ask(this);
      return;
    }
    if (push.pos) this.position = push.pos;
    if (this.#credit !== null) this.#credit = Math.max(0, this.#credit - 1);
    const message = {
      channel: push.channel,
      client: push.client,
      time: push.time,
      type: push.type,
      pos: push.pos ?? null,
      skipped: push.skipped ?? 0,
      latest: push.latest ?? false,
    };
    if (push.data_b64 === undefined) message.data = push.data;
    else message.bytes = fromBase64(push.data_b64);
    this.#room.call(this.#handlers.message, message);
  }

  through(position) {
    if (!this.#resuming && !this.#ended && !this.#want.technical) this.position = position;
  }

  end(error) {
    if (this.#ended) return;
    this.#ended = true;
    this.#room.forget();
    this.#room.call(this.#handlers.end, error);
  }
}

function isJson(type) {
  const essence = String(type).split(";")[0].trim();
  return essence === "application/json" || essence.endsWith("+json");
}

function fromBase64(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

function toBase64(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(text);
}
