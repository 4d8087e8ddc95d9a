/** What went wrong: `code` for programs, `what` was wrong and `want` would be right for people. */
export class RiserError extends Error {
  constructor(error: { code: string; what: string; want?: string });
  /**
   * As the server names it (`not_authorised`, `denied`, `too_many`, ...; see `CLOSE_CODES`), or this client:
   * `closed`, `connection_lost`, `unreachable`, `too_large`, `no_credential`, `no_websocket`, `bad_url`.
   */
  readonly code: string;
  readonly what: string;
  readonly want: string;
  /** The WebSocket close code, where a connection ended. */
  closeCode?: number;
}

export const SUBPROTOCOL: "riser.v1.json";
/** The code of an error by the WebSocket close code; 4000-4099 come back, 4100-4199 do not. */
export const CLOSE_CODES: { readonly [closeCode: number]: string };

export type Credential = { user: string; password: string } | { token: string };
/** Opaque; use one exactly as it was received. */
export type Position = string;
/** What somebody may do in a room, or in all of them, by one word. */
export type Role = "owner" | "admin" | "member" | "reader" | "observer" | "writer" | "device";
/**
 * `time` is in milliseconds since 1970, by the clock of the instance: what was published since, in order of position. To go
 * on with that in another run, `time` and what `start` had as `until` are said again beside `after`.
 */
export type From =
  | "live"
  | "start"
  | { after: Position }
  | { last: number }
  | { time: number }
  | { after: Position; time: number; until: Position };
/** `waiting` is between two attempts; `closed` is for good. */
export type State = "connecting" | "open" | "waiting" | "closed";

export interface Options {
  /**
   * None where the listener allows anonymous connections. A function is asked before every connection, and once
   * more where a connection that had been let in is closed with `not_authorised`: a token that expired.
   */
  credential?: Credential | (() => Credential | Promise<Credential>);
  /** For runtimes without one (Node 20): a class with the browser's interface, such as npm's `ws`. */
  WebSocket?: new (url: string, protocol: string) => object;
  /** Called on every change; while waiting with the error and the delay, when closed with the error. */
  onState?: (state: State, detail: { error?: RiserError; retryMs?: number }) => void;
  /**
   * The room's gate speaks before it lets this connection in: it asked an admin (`knocked`), wants a challenge signed, or
   * says something to people. What is returned, base64 of a signature or an HMAC, answers a challenge.
   */
  onPrompt?: (prompt: Prompt) => string | undefined | void | Promise<string | undefined | void>;
  /** What handlers threw. Default: `console.error`. */
  onError?: (error: unknown) => void;
  /** Milliseconds; the delay is drawn evenly below a ceiling that doubles from min (250) to max (5000). */
  backoffMinMs?: number;
  backoffMaxMs?: number;
  /** How long an attempt may take, the server's answer to the credential included. Default 10 000. */
  connectTimeoutMs?: number;
  /** How long a gate may take once it has spoken: an admin may be asked. Default 150 000. */
  gateTimeoutMs?: number;
  /** A server that says nothing for two of these is asked, after a third the connection is dead. Default 5000. */
  watchEveryMs?: number;
  /** Requests that may wait for a connection or an answer, and how many characters of them. Default 1000, 4 Mi. */
  waitingMax?: number;
  waitingBytesMax?: number;
  /** Draws from 0 to 1, for tests. */
  random?: () => number;
}

/** What an acceptor of a gate says. */
export type Prompt =
  | { type: "knocked" }
  | { type: "challenge"; method: "ed25519" | "hmac-sha256"; nonce: string }
  | { type: "words"; text: string };

export interface Message {
  channel: string;
  /** UUID of who published. */
  client: string;
  /** Milliseconds since 1970 by the clock of the host that took it. */
  time: number;
  /** That clock was never compared with a hub's: the time may be any. */
  timeUncertain?: true;
  type: string;
  /** A string (text) or a value (JSON). */
  data?: unknown;
  /** Everything else. */
  bytes?: Uint8Array;
  /** Null when it is shown ahead of the log (`latest`). */
  pos: Position | null;
  /** How many of this channel `conflate` passed over since the last one, here and at the server. */
  skipped: number;
  /** In a board: the position of what this is another wording of; its server has checked who says so. */
  replaces?: Position;
  /** The session that it belongs to: in a replay it is there until that ends (`wiped`). */
  session?: string;
  /** Shown ahead of the log while a backlog drains (`conflate`); it may come once more, with its position. */
  latest: boolean;
  /** In an iteration: what is gone between the last message and this one. A handler has `gap` for it. */
  gaps: Gap[];
}

export interface Gap {
  /** Seqs in the server's log, both ends inclusive; null where nobody can say. */
  from: number | null;
  to: number | null;
  /** How many of them, where all is known. */
  count: number | null;
  /** `retention`, `quota`, `damage`, ..., or `unknown_position`: the server's log is another one. */
  cause: string;
  /** Where the subscription is after it. */
  pos: Position | null;
}

export interface Start {
  pos: Position;
  /** How much of what was asked for is still there. */
  complete: "full" | "partial" | "none";
  /** Each is told to `gap` as well, in its place. */
  gaps: Gap[];
  /** Up to here something of the past that was asked for is not kept any more; null where nothing is. */
  floor: Position | null;
  /** Where it began at a time: what comes after this is handed out whatever its time. Null otherwise. */
  until: Position | null;
}

export interface SubscribeOptions {
  /** Default "live". After a cut it goes on from where it was, whatever this says. */
  from?: From;
  /** `credit` (default): everything, in order. `conflate`: the newest per channel; skipped ones are counted. */
  flow?: "credit" | "conflate";
  /** `credit` only: how many messages the server may be ahead of the consumer. Default 256. */
  window?: number;
}

export interface Handlers<T> {
  /** After every (re)start, when the server has answered. */
  start?: (start: Start) => void;
  /** Something is gone here: called in place, between the messages around it. */
  gap?: (gap: Gap) => void;
  /**
   * It ran before a cut, and is refused now for something that passes, such as a place that the old connection still
   * has: it is asked for again, with backoff, and goes on where it was. `start` says when.
   */
  waits?: (error: RiserError) => void;
  /** Nothing more comes: the server ended or refused it, or the connection was closed for good. */
  end?: (error: RiserError) => void;
}

export interface MessageHandlers extends Handlers<Message> {
  /** A promise holds back the next message, and the credit for this one, until it is settled. */
  message?: (message: Message) => unknown;
  /**
   * A session ended of which this subscription was shown something when it joined, before a cut too: who shows messages with
   * that `session` takes them away. Called in its place between messages, in an iteration too. Who was away then is not told;
   * after a cut sessions are told of which nothing was shown, with which there is nothing to do.
   */
  wiped?: (session: string) => void;
}

export interface TechnicalEvent {
  /** What happened, by the server's closed list; `count` of its kind in a storm, of which this is the newest. */
  event: { type: string; id: string; time: string; count: number; [field: string]: unknown };
  scope: "room" | "account" | "hub";
  /** Where it is: events have a history of their own. */
  pos: Position;
  /** Events that this consumer was too slow for, right before this one. */
  missed: number;
}

export interface EventHandlers extends Handlers<TechnicalEvent> {
  event?: (event: TechnicalEvent) => unknown;
}

/**
 * A subscription. Without a handler for its messages it is iterated over, by one consumer:
 * `for await (const message of room.subscribe("#"))`. The iteration ends with the subscription: by itself after
 * `unsubscribe()` or `room.close()`, with an error if the server ended it. To `break` is to unsubscribe.
 */
export class Subscription<T = Message> {
  private constructor();
  readonly sub: number;
  /** Up to here the consumer has been given everything; to go on from in another run. Null before it started. */
  readonly position: Position | null;
  unsubscribe(): Promise<void>;
  [Symbol.asyncIterator](): AsyncIterator<T, void>;
}

/** Text if it is a string, bytes if it is a buffer or a view of one, JSON otherwise. */
export type Value = string | ArrayBuffer | ArrayBufferView | number | boolean | null | object;

export interface PublishOptions {
  /** The content type, if another than the value's own. */
  type?: string;
  /** After so many whole seconds it is of no use: no device gets it any more. Default: never. */
  expires?: number;
  /**
   * For an outbox that outlives this client: the publisher's own number, and a number that rises. Each goes to the
   * server as it is given. Default: a producer drawn by chance, and counted.
   */
  id?: { producer: bigint | number | string; n: bigint | number | string };
}

/** Where it is in the server's log, after the commit; or that the server had it already. */
export type Receipt = { pos: Position } | { dup: true };

export interface Presence {
  room: string;
  present: {
    client: string;
    name: string;
    connection: number;
    /** Milliseconds since 1970. */
    since: number;
    /** The edge that the connection is at; `cut_off` while no link to it is up. */
    behind?: { edge: string | null; log: string; cut_off: boolean };
  }[];
  /** Connections after these, and what to give as `after` for the next 1,000; absent where there are none. */
  more: number;
  next?: number;
  /** There were more behind edges than a hub keeps (16,384): some may be missing. */
  incomplete?: true;
  /** In a room that waits for somebody: whether all of those are there, and who is not. */
  ready?: boolean;
  absent?: string[];
  /** What the room is for; absent in a plain one. */
  kind?: "board";
  /** Whether the room is one's own to look after. */
  administers?: boolean;
  /** For who looks after it: the acceptors of each stage of the room's gate ... */
  gate?: string[][];
  /** ... and who stands at the gates of the account and its rooms; `knocks` waits for `decide`. */
  waiting?: { connection: number; name: string | null; acceptor: string; knocks: boolean; room: string | null }[];
}

/** A page of a room's past, the oldest first; `next` is what to go on before, null where nothing is before it. */
export interface Past {
  messages: Message[];
  next: Position | null;
}

export interface Rates {
  messages: number;
  bytes: number;
  /** In the last whole second, and the last minute. */
  last_s: { messages: number; bytes: number };
  last_min: { messages: number; bytes: number };
}

/** The rows of this page and `other` add up to the room. */
export interface Statistics extends Rates {
  room: string;
  last: number | null;
  subscribers: number;
  connections: number;
  /** The newest of what was asked for and may be read, and its value where that is in memory. Absent at an older hub. */
  newest?: { channel: string; value?: Payload } | null;
  channel_count: number;
  /** The sums leave out what was not asked for or may not be read; then there is no `other`. */
  partial: boolean;
  /** Subscribers and connections of these channels are at least so many: more were not looked at. */
  at_least?: boolean;
  /** Publications addressed to a client that was not there, in a room that keeps nothing for it. */
  void: number;
  /** What is in none of these rows: that of other pages, and the last minute of channels of which no rates are kept. */
  other: Rates | null;
  /** After which channel the next page begins; null where there is none. */
  next: string | null;
  channels: ChannelStatistics[];
}

export interface ChannelStatistics extends Rates {
  channel: string;
  last: number | null;
  /** Subscriptions of this channel alone, and by filters that meet it. */
  subscribers: number;
  /** Whose these are; absent at an older hub. */
  connections?: number;
  value?: Payload;
}

export interface Payload {
  type: string;
  data?: unknown;
  data_b64?: string;
}

export interface Detained {
  pos: Position;
  /** Why it could not be placed. */
  code: string;
  /** Where it was meant to go, as far as that is known. */
  room: string | null;
  channel: string | null;
  client: string;
  time: number;
  bytes: number;
}

export class Room {
  private constructor();
  readonly state: State;
  /** What the server said of this connection; null before the first. */
  readonly me: { account: string; room: string; client: string; name: string; connection: number } | null;
  /** Resolves when the connection is open, rejects when it is closed for good. */
  ready(): Promise<NonNullable<Room["me"]>>;
  /** Subscribes to the channels that a filter names: `a/b`, `a/+`, `a/#`, `#`. */
  subscribe(channels: string, options?: SubscribeOptions & MessageHandlers): Subscription<Message>;
  /** Subscribes to what the system says of the room, of the account and itself, or of itself alone. */
  subscribeTechnical(scope: "room" | "account" | "hub", options?: { from?: From } & EventHandlers): Subscription<TechnicalEvent>;
  /** Resolves after the server's commit. Rejects if the server refuses it, or the room is closed before. */
  publish(channel: string, value: Value, options?: PublishOptions): Promise<Receipt>;
  /** Publishes several at once; resolves with one receipt each, in their order. */
  publishMany(
    messages: ({ channel: string; value: Value } & PublishOptions)[],
  ): Promise<(Receipt | { error: RiserError })[]>;
  /**
   * What this client publishes in a room whose history is `session` is replayed to whoever joins, from here on until the
   * connection ends; then it is wiped. After a cut the next connection has a session of its own. Without such a history
   * nothing is replayed, and nobody says so.
   */
  session(): Promise<void>;
  /**
   * Says anew who this is, before what was shown ends: by this credential, or by the one of the options once more (a function is
   * asked). It must be of the same user or client; the room's gate is asked anew (`onPrompt` hears it), and everything goes on
   * meanwhile. From then on it counts, and is shown after a cut. Rejects where it was not accepted; then the connection is closed.
   */
  renew(credential?: Options["credential"]): Promise<void>;
  /**
   * Goes into another room of the account, whose gate is asked anew (`onPrompt` hears it). Resolves when it is there: the
   * subscriptions that there were have ended with the room, as by `unsubscribe()`, technical ones too, and `session()` is to be
   * said again. Rejects where it may not: then everything goes on where it was. What is asked meanwhile waits, and goes
   * where one is then. A connection that is lost comes back into the room in which it was last.
   */
  enter(room: string): Promise<NonNullable<Room["me"]>>;
  /**
   * Goes back into the lobby, on the same connection: out of the room as by `enter()`, and nobody says no. Resolves with who
   * one is there (without a room); `rooms()`, `enter()` and the lobby's own channels follow.
   */
  leave(): Promise<NonNullable<Lobby["me"]>>;
  /**
   * A ticket for one raw WebSocket as oneself, good once and for `expires_s` seconds: `{ticket}` in
   * `wss://{host}/{account}/{room}/{channel}?ticket={ticket}`.
   */
  ticket(): Promise<{ ticket: string; expires_s: number }>;
  /** Who is in the room at the moment, behind edges too, as far as the hub has heard: 1,000 connections after so many. */
  presence(page?: { after?: number }): Promise<Presence>;
  /**
   * What goes through the room, with a row for each channel that the filter names and that has a newest value: by name, at
   * most 512 (`most`) of those after a channel.
   */
  statistics(channels?: string, page?: { after?: string; most?: number }): Promise<Statistics>;
  /** The account's quarantine, for its admins: what lies there, one entry in full, and what becomes of it. */
  quarantine(what: { list: { after?: Position; most?: number } }): Promise<{ detained: Detained[]; next: Position | null }>;
  quarantine(what: { inspect: Position }): Promise<Detained & Payload>;
  quarantine(what: { release: Position; reason: string }): Promise<{ pos: Position }>;
  quarantine(what: { drop: Position; reason: string }): Promise<object>;
  /** The newest publications of these channels before a position, at most 200 of them; without one, the newest of all. */
  past(channels?: string, page?: { before?: Position; most?: number }): Promise<Past>;
  /** In a board: says otherwise what one has said, or what anybody has in a room that one looks after. */
  edit(pos: Position, value: Value, options?: { type?: string }): Promise<{ pos: Position }>;
  /**
   * For who looks after the room: the devices that a broadcast reaches there, 1,000 of them after so many. They are clients that
   * have a key, a secret or a certificate and came by it, or are away.
   */
  devices(page?: { after?: number }): Promise<{ devices: { client: string; name: string; connections: number }[]; more?: number; next?: number }>;
  /** Lets a connection in that knocks, or does not; for who administers what it knocks at. With a room, only if it knocks there. */
  decide(connection: number, admit: boolean, room?: string): Promise<void>;
  /** The rooms of the account in which one may do anything, by name. */
  rooms(): Promise<ShownRoom[]>;
  /** Who one is, and where. */
  whoami(): Promise<NonNullable<Lobby["me"]>>;
  /** What one proves oneself with. */
  keys(): Promise<Key[]>;
  /** A new token of one's own, which is in this answer and nowhere else ever. */
  makeKey(): Promise<Key & { token: string }>;
  /** Revokes one of one's own, for ever. */
  revokeKey(fingerprint: string): Promise<void>;
  /** For who administers the account. */
  makeRoom(room: string, options?: { kind?: "bus" | "board"; history?: "none" | "session" | "log" }): Promise<{ room: string; id: string }>;
  /** For who looks after the room; who administers the account invites new users, whose token is in this answer alone. */
  invite(name: string, room: string, as?: "member" | "reader" | "writer"): Promise<{ name: string; room: string; token?: string }>;
  /** For who looks after the room: a role there for a user or client, `@group` or `*`; null takes it away. */
  setRole(name: string, room: string, role: Role | null): Promise<void>;
  /** In a lobby: into the admin lobby, until it goes into a room or is lost; without a token where the hub names one. */
  operate(token?: string): Promise<void>;
  /** In the admin lobby. */
  accounts(): Promise<{ name: string; id: string; users: number; rooms: number; sealed: boolean }[]>;
  /** In the admin lobby: what the first user proves itself with is in this answer and nowhere else ever. */
  makeAccount(account: string, user?: string): Promise<{ name: string; id: string; user: string; client: string; password: string; token: string }>;
  /** In the admin lobby: with all that it has, for ever. */
  removeAccount(account: string): Promise<void>;
  /** Resolves when the server answered. */
  ping(): Promise<void>;
  /** Closes for good. What waits for an answer is rejected. */
  close(): void;
}

/** A credential, by what it is called. */
export interface Key {
  kind: string;
  fingerprint: string;
}

/** A room as its lobby shows it. */
export interface ShownRoom {
  name: string;
  /** Whether it has a gate of its own. */
  gated: boolean;
  /** How many connections are in it. */
  members: number;
  kind: "bus" | "board";
  /** In a room that waits for somebody: who is not there. */
  absent?: string[];
}

/**
 * The front door: who has shown a credential is in the lobby, and sees which rooms there are. Its channels are those of the
 * account's room `lobby`.
 */
export type Lobby = Pick<
  Room,
  | "state"
  | "rooms"
  | "whoami"
  | "keys"
  | "makeKey"
  | "revokeKey"
  | "makeRoom"
  | "invite"
  | "setRole"
  | "operate"
  | "accounts"
  | "makeAccount"
  | "removeAccount"
  | "subscribe"
  | "subscribeTechnical"
  | "publish"
  | "publishMany"
  | "ping"
  | "close"
> & {
  /** What the server said of this connection; null before the first. */
  readonly me: (Omit<NonNullable<Room["me"]>, "room"> & { administers?: boolean }) | null;
  /** Resolves when the connection is open, rejects when it is closed for good. */
  ready(): Promise<NonNullable<Lobby["me"]>>;
};

/** Connects to the lobby: `wss://{host}/`, or `/` beside a page; the user of a credential is `account/name` there. */
export function lobby(url: string | URL, options?: Options): Lobby;

/**
 * Connects to a room: `wss://{host}/{account}/{room}`, or `/{account}/{room}` beside a page. Reconnects by itself
 * until `close()`, or until the server says that it is of no use.
 */
export function connect(url: string | URL, options?: Options): Room;
/** Whether a client closed with this code should come back by itself. */
export function comesBack(closeCode: number): boolean;
/** The bytes of a payload, whatever form it came in. */
export function bytesOf(message: Message): Uint8Array;
