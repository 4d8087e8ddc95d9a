// A client of Riser's envelope protocol (WebSocket sub-protocol riser.v1.json): one file, no dependencies, no build
// step. Browsers load it as a module, Node 20 and later import it (where there is no global WebSocket, give one).
// What each name takes and gives is in riser.d.ts.
//
//   const room = connect("wss://hub.example/acme/plant", { credential: { user, password } });
//   for await (const message of room.subscribe("boiler/#", { from: "start" })) show(message);
//   await room.publish("boiler/setpoint", 65);
//
// What always holds:
// - A subscription's consumer gets every message once and in order, across reconnects: it resumes from its own last
//   position, and a message that does not follow that position is not handed out but asked for again.
// - What is gone is told as a gap, in place. What `conflate` passed over is counted in `skipped`.
// - A slow consumer costs a bounded queue: in `credit` the server sends no more than `window` messages ahead of it,
//   in `conflate` the newest of each channel waits, and of events the oldest go, counted.
// - `publish` resolves only with a receipt, after the server's commit. If the connection breaks before that, it is
//   sent again under the same publish id; a server that has it already answers `dup`, and that is a receipt too.
// - A subscription that ran and is refused for something that passes (4000-4099) is asked for again, with backoff.
// - A connection that the server closed for a reason that would only repeat itself (4100-4199, and what WebSocket itself
//   has for broken rules, sizes and policy) is not tried again.

export const SUBPROTOCOL = "riser.v1.json";

/** What a server closes with, by the close code. */
export const CLOSE_CODES = {
  4000: "shutting_down",
  4001: "timeout",
  4002: "too_slow",
  4003: "log_failing",
  4004: "quota_exceeded",
  4005: "too_many",
  4006: "session_full",
  4100: "malformed",
  4101: "wrong_state",
  4102: "bad_name",
  4103: "not_authorised",
  4104: "denied",
  4105: "too_large",
  4106: "unknown_position",
  4107: "taken_over",
  4108: "dup",
};

/** The standard's codes (RFC 6455 section 7.4.1) that the same client would only earn again. */
const STANDARD_FINAL = [1002, 1003, 1007, 1008, 1009];

const DEFAULTS = {
  backoffMinMs: 250,
  backoffMaxMs: 5000,
  connectTimeoutMs: 10_000,
  gateTimeoutMs: 150_000,
  watchEveryMs: 5000,
  waitingMax: 1000,
  waitingBytesMax: 4 << 20,
  random: Math.random,
  onError: (error) => console.error(error),
};
/** The server takes 16 KiB before it knows who is there. */
const HELLO_BYTES_MAX = 15 << 10;
const HELLO_SUBSCRIPTIONS_MAX = 100;
const FRAME_BYTES_MAX = 1 << 20;
const WINDOW = 256;
const EVENTS_MAX = 256;

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

/** Connects to a room. */
export function connect(url, options = {}) {
  return new Room(url, options);
}

/** Connects to the front door: the lobby of whoever shows a credential, with the rooms that it may ask for. */
export function lobby(url, options = {}) {
  return new Room(url, options);
}

/** Whether a client closed with this code should come back by itself. */
export function comesBack(code) {
  return !(code >= 4100 && code < 4200) && !STANDARD_FINAL.includes(code);
}

/** The bytes of a payload, whatever form it came in. */
export function bytesOf(message) {
  if (message.bytes) return message.bytes;
  const json = /^application\/json\b|^[^;]*\+json\b/.test(message.type);
  return utf8(json ? JSON.stringify(message.data) : String(message.data));
}

export class Room {
  #url;
  #options;
  #socket = null;
  #state = "connecting";
  #entered = false;
  #attempts = 0;
  #notBeforeMs = 0;
  #timer = null;
  #heard = false;
  #lastId = 0;
  #lastSub = 0;
  #lastN = 0;
  #producer = anyNumber();
  #requests = new Map();
  #waiting = [];
  #held = { count: 0, bytes: 0 };
  #subscriptions = new Map();
  /** Whether what this client publishes is to be replayed to who joins: each connection says so anew. */
  #keepsSession = false;
  /** On the way to another room: which subscriptions it had, and which were said to have ended since. */
  #going = null;
  /** How many times it is saying anew who it is. */
  #renewing = 0;
  #bye = null;
  #me = null;
  #why = null;
  #ready = [];
  #wake = () => this.#hurry();
  /** When the last errand that was asked for is done. */
  #errands = Promise.resolve();

  constructor(url, options) {
    this.#url = address(url);
    this.#options = { ...DEFAULTS, ...options, WebSocket: options.WebSocket ?? globalThis.WebSocket };
    if (!this.#options.WebSocket) {
      const want = "the option WebSocket, for example the class that npm's ws exports";
      throw new RiserError({ code: "no_websocket", what: "this runtime has no WebSocket", want });
    }
    globalThis.addEventListener?.("online", this.#wake);
    globalThis.document?.addEventListener("visibilitychange", this.#wake);
    this.#open();
  }

  get state() {
    return this.#state;
  }

  get me() {
    return this.#me;
  }

  ready() {
    return new Promise((resolve, reject) => {
      if (this.#state === "open") resolve(this.#me);
      else if (this.#state === "closed") reject(this.#why);
      else this.#ready.push({ resolve, reject });
    });
  }

  subscribe(channels, { from, flow = "credit", window = WINDOW, ...handlers } = {}) {
    const want = { channels, from, flow };
    return this.#subscribe(want, handlers, flow === "credit" ? Math.max(1, Math.floor(window)) : null);
  }

  subscribeTechnical(scope, { from, ...handlers } = {}) {
    return this.#subscribe({ technical: scope, from }, handlers, null);
  }

  publish(channel, value, options = {}) {
    return this.#publish({ op: "publish", ...this.#message({ ...options, channel, value }) });
  }

  async publishMany(messages) {
    const { receipts } = await this.#publish({ op: "publish", messages: messages.map((one) => this.#message(one)) });
    return receipts.map(({ error, ...receipt }) => {
      if (!error) return receipt;
      return error.code === "dup" ? { dup: true } : { error: new RiserError(error) };
    });
  }

  async session() {
    this.#keepsSession = true;
    await this.#request({ op: "session" });
  }

  async renew(credential) {
    const given = credential ?? this.#options.credential;
    const shown = typeof given === "function" ? await given() : given;
    this.#renewing += 1;
    try {
      await this.#request({ op: "renew", credential: shown });
    } finally {
      this.#renewing -= 1;
    }
    if (credential !== undefined) this.#options.credential = credential;
  }

  enter(room) {
    return this.#go({ op: "enter", room });
  }

  leave() {
    return this.#go({ op: "leave" });
  }

  async #go(body) {
    await this.ready();
    if (!this.#entered || this.#going) {
      const what = this.#going ? "one room at a time" : "the connection is not there at the moment";
      throw new RiserError({ code: "wrong_state", what, want: "wait until it is in a room" });
    }
    const answer = this.#request(body);
    const going = { had: [...this.#subscriptions.values()], ended: [] };
    this.#going = going;
    try {
      const { subscriptions, ping_s, ...me } = await answer;
      this.#moved(me, going.had);
      return me;
    } catch (error) {
      // It is where it was; what ended there has ended for reasons of its own.
      for (const push of going.ended) this.#subscriptions.get(push.sub)?.hear(push);
      throw error;
    } finally {
      this.#going = null;
      if (this.#entered) this.#askAll();
    }
  }

  ticket() {
    return this.#request({ op: "ticket" });
  }

  presence({ after } = {}) {
    return this.#request({ op: "presence", after });
  }

  statistics(channels = "#", { after, most } = {}) {
    return this.#request({ op: "statistics", channels, after, most });
  }

  quarantine(what) {
    return this.#request({ op: "quarantine", ...what });
  }

  async past(channels = "#", { before, most } = {}) {
    const { messages, gaps = [], next } = await this.#request({ op: "past", channels, before, most });
    return { messages: messages.map(messageOf), gaps, next };
  }

  edit(pos, value, { type } = {}) {
    return this.#request({ op: "edit", pos, ...(type === undefined ? {} : { type }), ...payloadOf(value) });
  }

  devices({ after } = {}) {
    return this.#request({ op: "devices", after });
  }

  async decide(connection, admit, room) {
    await this.#request({ op: "decide", connection, admit, ...(room ? { room } : {}) });
  }

  async rooms() {
    const { rooms } = await this.#request({ op: "rooms" });
    return rooms;
  }

  whoami() {
    return this.#request({ op: "whoami" });
  }

  async keys() {
    const { keys } = await this.#errand({ op: "keys" });
    return keys;
  }

  makeKey() {
    return this.#errand({ op: "keys", make: "token" });
  }

  async revokeKey(fingerprint) {
    await this.#errand({ op: "keys", revoke: fingerprint });
  }

  makeRoom(room, { kind, history } = {}) {
    return this.#errand({ op: "create", room, kind, history });
  }

  invite(name, room, as) {
    return this.#errand({ op: "invite", name, room, as });
  }

  async setRole(name, room, role) {
    await this.#errand({ op: "role", name, room, role: role ?? "none" });
  }

  async operate(token) {
    await this.#errand({ op: "admin", token });
  }

  async accounts() {
    const { accounts } = await this.#errand({ op: "accounts" });
    return accounts;
  }

  makeAccount(account, user) {
    return this.#errand({ op: "create", account, user });
  }

  async removeAccount(account) {
    await this.#errand({ op: "remove", account });
  }

  async ping() {
    await this.#request({ op: "ping" });
  }

  close() {
    this.#finish(new RiserError({ code: "closed", what: "this client was closed" }));
  }

  // Connecting, and again.

  async #open() {
    this.#setState("connecting");
    this.#bye = null;
    let credential;
    try {
      const given = this.#options.credential;
      credential = typeof given === "function" ? await given() : given;
    } catch (error) {
      return this.#lost({ code: "no_credential", what: String(error?.message ?? error) }, 1006);
    }
    if (this.#state === "closed") return;
    let socket;
    try {
      socket = new this.#options.WebSocket(this.#url, SUBPROTOCOL);
    } catch (error) {
      return this.#finish(new RiserError({ code: "bad_url", what: String(error?.message ?? error) }));
    }
    this.#socket = socket;
    let opened = false;
    socket.onopen = () => {
      opened = true;
      this.#hello(credential);
    };
    socket.onmessage = (event) => this.#hear(event.data);
    // Node's own may leave it at that, without a close.
    socket.onerror = ({ message }) => {
      if (socket === this.#socket && !opened) this.#lost(unreachable(this.#url, message), 1006);
    };
    socket.onclose = ({ code, reason }) => this.#lost(opened ? closed(code, reason) : unreachable(this.#url), code);
    this.#arm(this.#options.connectTimeoutMs, () => this.#cut("the server did not answer in time"));
  }

  #hello(credential) {
    const id = ++this.#lastId;
    // What the system says is subscribed to by name here.
    const hello = { op: "hello", id, credential, subscriptions: [], events: false };
    const subscriptions = [...this.#subscriptions.values()];
    for (const subscription of subscriptions.slice(0, HELLO_SUBSCRIPTIONS_MAX)) {
      hello.subscriptions.push(subscription.request());
      subscription.asked = utf8(JSON.stringify(hello)).length <= HELLO_BYTES_MAX;
      if (!subscription.asked) {
        hello.subscriptions.pop();
        break;
      }
    }
    this.#requests.set(id, { resolve: (ok) => this.#enter(ok), reject: () => {} });
    this.#socket.send(JSON.stringify(hello));
  }

  #enter(ok) {
    this.#entered = true;
    this.#attempts = 0;
    this.#notBeforeMs = 0;
    const { subscriptions = [], ping_s, ...me } = ok;
    this.#me = me;
    this.#watch();
    // What was published before the cut went with that connection; what follows is this one's.
    if (this.#keepsSession) this.#send({ text: '{"op":"session"', resolve: () => {}, reject: () => {} });
    // Before anybody is told, who might publish more: publish ids rise.
    this.#sendWaiting();
    this.#setState("open");
    for (const { resolve } of this.#ready.splice(0)) resolve(me);
    for (const started of subscriptions) {
      const subscription = this.#subscriptions.get(started.sub);
      if (subscription) subscription.started(started);
      else this.#forget(started.sub);
    }
    this.#askAll();
  }

  #sendWaiting() {
    for (const request of this.#waiting.splice(0)) this.#send(request);
  }

  /** What waited, and the subscriptions that did not fit into hello or came while it was under way. */
  #askAll() {
    this.#sendWaiting();
    for (const subscription of this.#subscriptions.values()) {
      if (!subscription.asked && !subscription.waits) this.#ask(subscription);
    }
  }

  /** In another room or in the lobby: what it had is over, and it comes back here. */
  #moved(me, had) {
    this.#me = me;
    this.#keepsSession = false;
    const url = new URL(this.#url);
    // Beside the room that it was in, or the lobby of its account, there may be a folder of a proxy's.
    const [folder] = /^.*\/(?=[^/]+\/[^/]+\/?$)/.exec(url.pathname) ?? ["/"];
    const [, account] = /([^/]+)\/[^/]+\/?$/.exec(url.pathname) ?? [];
    const own = !account || account === "user" ? me.account : account;
    url.pathname = me.room === undefined ? `${folder}user/${own}` : `${folder}${own}/${me.room}`;
    this.#url = url.href;
    for (const subscription of had) {
      this.#stopWaiting(subscription);
      this.#subscriptions.delete(subscription.sub);
      subscription.end(new RiserError({ code: "closed", what: "this client has left its room" }));
    }
  }

  #hear(text) {
    this.#heard = true;
    let message;
    try {
      message = JSON.parse(text);
    } catch {
      return this.#cut("the server said something that is not JSON");
    }
    if ("re" in message) return this.#answered(message);
    if (message.ev === "knocked" || message.ev === "challenge" || message.ev === "words") {
      this.#prompted(message);
    } else if (message.ev === "bye") {
      this.#bye = message;
    } else if (message.ev === "ping") {
      for (const [sub, position] of Object.entries(message.through)) {
        this.#subscriptions.get(Number(sub))?.through(position);
      }
    } else if (message.ev === "end" && this.#going) {
      this.#going.ended.push(message);
    } else {
      this.#subscriptions.get(message.sub)?.hear(message);
    }
  }

  /** An acceptor of the gate speaks: from here on it says how long it waits, and for what. */
  async #prompted({ ev, ...prompt }) {
    if (this.#entered && !this.#going && this.#renewing === 0) return;
    const socket = this.#socket;
    // Who is in a room already stays there, however long the gate of another one takes.
    if (!this.#entered) this.#arm(this.#options.gateTimeoutMs, () => this.#cut("the gate did not decide in time"));
    const proof = await this.#call(this.#options.onPrompt, { type: ev, ...prompt });
    if (proof !== undefined && socket === this.#socket) socket.send(JSON.stringify({ op: "answer", proof }));
  }

  #answered({ re, ok, error }) {
    const request = this.#requests.get(re);
    if (!request) return;
    this.#requests.delete(re);
    if (!error) return request.resolve(ok);
    // Who is going down refuses everything from here on: it is for the next connection, in order.
    if (request.resend && error.code === "shutting_down") this.#waiting.push(request);
    else request.reject(new RiserError(error));
  }

  /** The connection is gone: keep what can be said again, and come back unless that is pointless. */
  #lost(why, closeCode) {
    const entered = this.#entered;
    this.#detach();
    const error = new RiserError(this.#bye ?? why);
    error.closeCode = this.#bye?.close ?? closeCode;
    // What expired may be had anew.
    const renews = error.code === "not_authorised" && entered && typeof this.#options.credential === "function";
    if (!comesBack(error.closeCode) && !renews) return this.#finish(error);
    for (const request of this.#requests.values()) {
      if (request.resend) this.#waiting.push(request);
      else request.reject(error);
    }
    this.#requests.clear();
    for (const subscription of this.#subscriptions.values()) {
      subscription.asked = false;
      this.#stopWaiting(subscription);
    }
    const { backoffMinMs, backoffMaxMs, random } = this.#options;
    const ceiling = Math.min(backoffMaxMs, backoffMinMs * 2 ** this.#attempts);
    this.#attempts += 1;
    const afterMs = this.#bye?.after_ms ?? 0;
    this.#notBeforeMs = Date.now() + afterMs;
    const retryMs = afterMs + random() * ceiling;
    this.#arm(retryMs, () => this.#open(), true);
    this.#setState("waiting", { error, retryMs });
  }

  #finish(error) {
    if (this.#state === "closed") return;
    this.#state = "closed";
    const socket = this.#detach();
    globalThis.removeEventListener?.("online", this.#wake);
    globalThis.document?.removeEventListener("visibilitychange", this.#wake);
    this.#why = error;
    shut(socket, 1000);
    for (const request of [...this.#requests.values(), ...this.#waiting, ...this.#ready]) request.reject(error);
    this.#requests.clear();
    this.#waiting = [];
    this.#ready = [];
    const subscriptions = [...this.#subscriptions.values()];
    this.#subscriptions.clear();
    for (const subscription of subscriptions) {
      this.#stopWaiting(subscription);
      subscription.end(error);
    }
    this.#setState("closed", { error });
  }

  #cut(what) {
    shut(this.#detach(), 4001);
    this.#lost({ code: "connection_lost", what }, 1006);
  }

  #detach() {
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    this.#entered = false;
    if (socket) socket.onopen = socket.onmessage = socket.onclose = null;
    return socket;
  }

  /** A route came up, or somebody looks: no need to wait for a backoff, unless the server asked for it. */
  #hurry() {
    if (globalThis.document?.hidden) return;
    if (this.#state === "open") {
      this.ping().catch(() => {});
      this.#watch(2);
    } else if (this.#state === "waiting" && Date.now() >= this.#notBeforeMs) {
      clearTimeout(this.#timer);
      this.#open();
    }
  }

  /** After two silent looks the server is asked, after a third it is gone. Counted, for a clock may jump. */
  #watch(silent = 0) {
    this.#heard = false;
    this.#arm(this.#options.watchEveryMs, () => {
      const looks = this.#heard ? 0 : silent + 1;
      if (looks >= 3) return this.#cut("nothing was heard from the server");
      if (looks === 2) this.ping().catch(() => {});
      this.#watch(looks);
    });
  }

  #arm(ms, then, keepsAlive = false) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(then, ms);
    if (!keepsAlive) this.#timer.unref?.();
  }

  #setState(state, detail = {}) {
    this.#state = state;
    this.#call(this.#options.onState, state, detail);
  }

  #call(handler, ...args) {
    try {
      return handler?.(...args);
    } catch (error) {
      this.#options.onError(error);
    }
  }

  // Requests.

  #request(body, resend = false) {
    const text = JSON.stringify(body).slice(0, -1);
    const { waitingMax, waitingBytesMax } = this.#options;
    const held = this.#held;
    if (this.#state === "closed") return Promise.reject(this.#why);
    if (held.count >= waitingMax || held.bytes + text.length > waitingBytesMax) {
      const what = `${held.count} requests of ${held.bytes} characters wait already`;
      return Promise.reject(new RiserError({ code: "too_many", what, want: "wait for receipts" }));
    }
    if (text.length * 3 > FRAME_BYTES_MAX && utf8(text).length > FRAME_BYTES_MAX - 64) {
      const want = `at most ${FRAME_BYTES_MAX} bytes in one request`;
      return Promise.reject(new RiserError({ code: "too_large", what: "a request that is too large", want }));
    }
    held.count += 1;
    held.bytes += text.length;
    const answer = new Promise((resolve, reject) => {
      const request = { text, resolve, reject, resend };
      if (this.#entered && !this.#going) this.#send(request);
      else this.#waiting.push(request);
    });
    return answer.finally(() => {
      held.count -= 1;
      held.bytes -= text.length;
    });
  }

  /** A server does one errand of a connection at a time: the next is asked for when this one is done. */
  #errand(body) {
    const done = this.#errands.then(() => this.#request(body));
    this.#errands = done.catch(() => {});
    return done;
  }

  #send(request) {
    const id = ++this.#lastId;
    this.#requests.set(id, request);
    this.#socket.send(`${request.text},"id":${id}}`);
  }

  async #publish(body) {
    try {
      return await this.#request(body, true);
    } catch (error) {
      if (error.code === "dup") return { dup: true };
      throw error;
    }
  }

  #message({ channel, value, type, id, expires }) {
    const { producer, n } = id ?? { producer: this.#producer, n: ++this.#lastN };
    const message = { channel, publish_id: { producer: String(producer), n: String(n) } };
    if (type !== undefined) message.type = type;
    if (expires !== undefined) message.expires_s = expires;
    return Object.assign(message, payloadOf(value));
  }

  // Subscriptions.

  #subscribe(want, handlers, window) {
    const sub = ++this.#lastSub;
    const subscription = new Subscription(sub, want, handlers, window, {
      ask: () => this.#ask(subscription),
      credit: (n) => {
        if (this.#entered) this.#socket.send(JSON.stringify({ op: "credit", sub, n }));
        return this.#entered;
      },
      later: (attempts) => this.#askLater(subscription, attempts),
      drop: () => {
        this.#stopWaiting(subscription);
        return this.#subscriptions.delete(sub);
      },
      forget: () => this.#forget(sub),
      call: (handler, ...args) => this.#call(handler, ...args),
      report: (error) => this.#options.onError(error),
    });
    if (this.#state === "closed") {
      queueMicrotask(() => subscription.end(this.#why));
    } else {
      this.#subscriptions.set(sub, subscription);
      this.#ask(subscription);
    }
    return subscription;
  }

  #ask(subscription) {
    subscription.asked = this.#entered && !this.#going;
    if (!subscription.asked) return;
    this.#send({
      text: JSON.stringify({ op: "subscribe", ...subscription.request() }).slice(0, -1),
      resolve: (started) => subscription.started(started),
      // A lost connection asks again by itself.
      reject: (error) => this.#entered && subscription.started({ error }),
    });
  }

  /** It was refused for something that passes: another connection's place, or a server that is busy. */
  #askLater(subscription, attempts) {
    const { backoffMinMs, backoffMaxMs, random } = this.#options;
    const ceiling = Math.min(backoffMaxMs, backoffMinMs * 2 ** attempts);
    this.#stopWaiting(subscription);
    subscription.waits = setTimeout(() => {
      subscription.waits = null;
      this.#ask(subscription);
    }, random() * ceiling);
  }

  #stopWaiting(subscription) {
    clearTimeout(subscription.waits);
    subscription.waits = null;
  }

  async #forget(sub) {
    // It ended with its connection, or the server had ended it before.
    if (this.#entered) await this.#request({ op: "unsubscribe", sub }).catch(() => {});
  }
}

/** One subscription and the queue between the connection and its consumer: `message`/`event`, or an iteration. */
export class Subscription {
  #want;
  #handlers;
  #window;
  #room;
  /** Where the connection is, and where the consumer is. */
  #at = null;
  #taken = null;
  /** From when what was there up to `until` is meant, where it began at a time. */
  #since = {};
  #queue = [];
  #byChannel = new Map();
  #gaps = [];
  #takers = [];
  #busy = false;
  /** Messages that the consumer has not finished with, and those it has that were not told as credit. */
  #unfinished = 0;
  #freed = 0;
  /** A jump was seen: what comes before the answer is not ours. */
  #resuming = false;
  #over = null;
  #ended = false;
  /** Refusals in a row since it last ran. */
  #refusals = 0;

  constructor(sub, want, handlers, window, room) {
    this.sub = sub;
    this.asked = false;
    /** The timer by which it is asked for again, while it was refused for something that passes. */
    this.waits = null;
    this.#want = want;
    this.#handlers = handlers;
    this.#window = window;
    this.#room = room;
  }

  get position() {
    return this.#taken;
  }

  async unsubscribe() {
    this.#queue = [];
    this.#over ??= { error: null };
    this.#run();
    if (this.#room.drop()) await this.#room.forget();
  }

  [Symbol.asyncIterator]() {
    if (this.#handler()) {
      const what = "a subscription with a handler for its messages is not iterated over";
      throw new RiserError({ code: "wrong_state", what, want: "one or the other" });
    }
    return {
      next: () =>
        new Promise((resolve, reject) => {
          this.#takers.push({ resolve, reject });
          this.#run();
        }),
      return: async () => {
        // Nobody waits for the server to have heard it.
        this.unsubscribe();
        return { value: undefined, done: true };
      },
    };
  }

  #handler() {
    return this.#want.technical ? this.#handlers.event : this.#handlers.message;
  }

  // What the room says.

  /** What to ask the server for: from a position, once there is one. What began at a time is asked for by that too. */
  request() {
    const { channels, technical, from, flow } = this.#want;
    const start = this.#at ? { after: this.#at, ...this.#since } : from;
    if (technical) return { sub: this.sub, technical, from: start };
    const request = { sub: this.sub, channels, from: start, flow };
    if (this.#window !== null) request.credit = Math.max(0, this.#window - this.#unfinished);
    this.#freed = 0;
    return request;
  }

  started({ error, pos, complete, gaps = [], floor = null, until = null }) {
    if (this.#over) return;
    // Whoever had it keeps it. Who never did is told: it may be that this connection has as many as it may.
    if (error && this.#at && passes(error.code)) return this.#refused(error);
    this.#resuming = false;
    if (error?.code === "unknown_position") return this.#forked();
    if (error) {
      this.#room.drop();
      return this.end(error instanceof RiserError ? error : new RiserError(error));
    }
    this.#refusals = 0;
    this.#at = pos;
    this.#since = until === null ? {} : { time: this.#want.from.time, until };
    this.#room.call(this.#handlers.start, { pos, complete, gaps, floor, until });
    for (const gap of gaps) this.#add({ gap: { ...gap, pos } });
    this.#free(0);
    this.#settle();
  }

  hear(push) {
    if (this.#over || this.#resuming) return;
    if (push.ev === "msg") {
      this.#message(push);
    } else if (push.ev === "gap") {
      this.#at = push.pos;
      const { from, to, count, cause, pos } = push;
      this.#add({ gap: { from, to, count, cause, pos } });
    } else if (push.ev === "event") {
      this.#event(push);
    } else if (push.ev === "wiped") {
      this.#add({ wiped: [push.session] });
    } else if (push.ev === "end") {
      this.#room.drop();
      this.end(new RiserError(push.error));
    }
  }

  through(position) {
    if (this.#resuming || this.#over) return;
    this.#at = position;
    this.#settle();
  }

  /** Nothing more comes; what waits is still handed out. */
  end(error) {
    this.#over ??= { error };
    this.#run();
  }

  /** The log in which its position was is not there any more: nobody can say what is missing. */
  #forked() {
    const pos = this.#at ?? this.#want.from?.after ?? null;
    this.#at = null;
    this.#want = { ...this.#want, from: "live" };
    this.#add({ gap: { from: null, to: null, count: null, cause: "unknown_position", pos } });
    this.#room.ask();
  }

  /** What comes until it runs again is not ours: the server may have one of before a jump. */
  #refused(error) {
    this.#resuming = true;
    this.#room.call(this.#handlers.waits, error instanceof RiserError ? error : new RiserError(error));
    this.#room.later(this.#refusals);
    this.#refusals += 1;
  }

  #message(push) {
    if (push.prev !== this.#at && !push.latest) {
      this.#resuming = true;
      return this.#room.ask();
    }
    if (push.pos) this.#at = push.pos;
    this.#unfinished += 1;
    this.#add({ message: messageOf(push) });
  }

  #event({ pos, prev, scope, event }) {
    if (prev !== this.#at) {
      this.#resuming = true;
      return this.#room.ask();
    }
    this.#at = pos;
    const { id, time, count = 1, data } = event;
    const type = event.type.replace(/^riser\./, "");
    this.#add({ event: { event: { type, id, time, count, ...data }, scope, missed: 0, pos } });
  }

  // The queue.

  #add(item) {
    if (!this.#merge(item)) this.#queue.push(item);
    this.#run();
  }

  /** Whether what waits already has taken it in: that keeps the queue bounded. */
  #merge(item) {
    const last = this.#queue.at(-1);
    if (item.message && this.#want.flow === "conflate") {
      const waits = this.#byChannel.get(item.message.channel);
      if (waits) {
        item.message.skipped += waits.message.skipped + 1;
        waits.message = item.message;
        this.#unfinished -= 1;
        return true;
      }
      this.#byChannel.set(item.message.channel, item);
    } else if (item.gap && last?.gap) {
      const joined = join(last.gap, item.gap);
      if (joined) last.gap = joined;
      return joined !== null;
    } else if (item.wiped && last?.wiped) {
      last.wiped.push(...item.wiped);
      return true;
    } else if (item.event && this.#queue.length >= EVENTS_MAX) {
      const [gone] = this.#queue.splice(0, 1);
      this.#queue[0].event.missed += gone.event.missed + 1;
    }
    return false;
  }

  /** Hands out what can be handed out, and the end after it. */
  #run() {
    const handler = this.#handler();
    while (this.#queue.length > 0 && !this.#busy && (handler || this.#takers.length > 0)) {
      const item = this.#queue.shift();
      if (item.gap) {
        this.#tookGap(item.gap, handler);
        continue;
      }
      if (item.wiped) {
        for (const session of item.wiped) this.#room.call(this.#handlers.wiped, session);
        continue;
      }
      if (item.message) this.#took(item.message);
      else this.#taken = item.event.pos;
      if (handler) {
        this.#handle(handler, item.message ?? item.event);
      } else {
        this.#takers.shift().resolve({ value: item.message ?? item.event, done: false });
        this.#free(1);
      }
    }
    this.#settle();
    if (this.#over && this.#queue.length === 0 && !this.#busy) this.#finish();
  }

  #took(message) {
    this.#byChannel.delete(message.channel);
    message.gaps = this.#gaps;
    this.#gaps = [];
    // Of channels that are shown their newest, none says how far the others are.
    if (message.pos && this.#want.flow !== "conflate") this.#taken = message.pos;
  }

  #tookGap(gap, handler) {
    if (this.#want.flow !== "conflate") this.#taken = gap.pos;
    this.#room.call(this.#handlers.gap, gap);
    if (handler) return;
    const joined = this.#gaps.length > 0 ? join(this.#gaps.at(-1), gap) : null;
    if (joined) this.#gaps.splice(-1, 1, joined);
    else this.#gaps.push(gap);
  }

  /** A handler that takes time holds back what follows, and the credit. */
  #handle(handler, value) {
    const done = this.#room.call(handler, value);
    if (typeof done?.then !== "function") return this.#free(1);
    this.#busy = true;
    done.then(undefined, this.#room.report).then(() => {
      this.#busy = false;
      this.#free(1);
      this.#run();
    });
  }

  /** The consumer has finished with so many. */
  #free(n) {
    if (this.#want.technical) return;
    this.#unfinished -= n;
    if (this.#window === null) return;
    this.#freed += n;
    const due = this.#freed > 0 && this.#freed * 2 >= this.#window && !this.#over;
    if (due && this.asked && !this.#resuming && this.#room.credit(this.#freed)) this.#freed = 0;
  }

  #settle() {
    if (this.#queue.length === 0 && !this.#busy) this.#taken = this.#at;
  }

  #finish() {
    const { error } = this.#over;
    const quiet = error === null || error.code === "closed";
    if (!this.#ended) {
      this.#ended = true;
      if (error) this.#room.call(this.#handlers.end, error);
    }
    for (const { resolve, reject } of this.#takers.splice(0)) {
      if (quiet || this.#over.thrown) resolve({ value: undefined, done: true });
      else reject(error);
      this.#over.thrown = true;
    }
  }
}

/** Whether what a refusal says may be otherwise later: the band of close codes says so. */
function passes(code) {
  return Object.entries(CLOSE_CODES).some(([close, name]) => name === code && comesBack(Number(close)));
}

/** Two gaps of one cause without anything between them are one; null where they are not. */
function join(one, two) {
  if (one.cause !== two.cause || !one.count || !two.count) return null;
  return { ...two, from: one.from, count: one.count + two.count };
}

/** `wss:` for `https:`, and beside the page's own address where there is a page. */
function address(url) {
  try {
    const made = new URL(url, globalThis.location?.href);
    made.protocol = made.protocol.replace(/^http/, "ws");
    if (made.protocol === "ws:" || made.protocol === "wss:") return made.href;
  } catch {
    // Said below.
  }
  throw new RiserError({ code: "bad_url", what: "this is no address of a room", want: "wss://host/account/room" });
}

/** A close frame's reason says more than its code, where it came through. */
function closed(code, reason) {
  const [, name, what, want] = /^([a-z_]+): (.*?)(?:; want (.*))?$/s.exec(reason ?? "") ?? [];
  if (name) return { code: name, what, want };
  return { code: CLOSE_CODES[code] ?? "connection_lost", what: reason || `the connection was closed (${code})` };
}

function unreachable(url, failure) {
  const { origin, pathname } = new URL(url);
  const want = "a server there, /{account}/{room}, and a page whose origin it allows";
  return { code: "unreachable", what: failure || `no WebSocket could be opened at ${origin}${pathname}`, want };
}

function shut(socket, code) {
  try {
    socket?.close(code);
  } catch {
    // It was not open any more.
  }
}

/** A message as its consumers have it. */
function messageOf({ channel, client, time, time_uncertain, type, pos = null, replaces, session, skipped = 0, latest = false, data, data_b64 }) {
  const message = { channel, client, time, type, pos, skipped, latest };
  if (time_uncertain) message.timeUncertain = true;
  if (replaces !== undefined) message.replaces = replaces;
  if (session !== undefined) message.session = session;
  if (data_b64 === undefined) message.data = data;
  else message.bytes = fromBase64(data_b64);
  return message;
}

function payloadOf(value) {
  if (value instanceof ArrayBuffer) return { data_b64: toBase64(new Uint8Array(value)) };
  if (ArrayBuffer.isView(value)) {
    return { data_b64: toBase64(new Uint8Array(value.buffer, value.byteOffset, value.byteLength)) };
  }
  return { data: value === undefined ? null : value };
}

function anyNumber() {
  const [high, low] = crypto.getRandomValues(new Uint32Array(2));
  return (BigInt(high) << 32n) | BigInt(low);
}

function utf8(text) {
  return new TextEncoder().encode(text);
}

function fromBase64(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

function toBase64(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(text);
}
