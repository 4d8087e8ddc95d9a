/** What went wrong: `code` for programs, `what` was wrong and `want` would be right for people. */
export class RiserError extends Error {
  constructor(error: { code: string; what: string; want?: string });
  readonly code: string;
  readonly what: string;
  readonly want: string;
  /** The WebSocket close code, where a connection ended. */
  closeCode?: number;
}

export const SUBPROTOCOL: "riser.v1.json";

export type Credential = { user: string; password: string } | { token: string };
/** Opaque; use one exactly as it was received. */
export type Position = string;
export type From = "live" | "start" | { after: Position } | { last: number };
export type State = "connecting" | "open" | "waiting" | "closed";

export interface Options {
  /** None where the listener allows anonymous connections. A function is asked before every connection. */
  credential?: Credential | (() => Credential | Promise<Credential>);
  /** For runtimes without one: a class with the browser's interface, such as npm's `ws`. */
  WebSocket?: new (url: string, protocol: string) => unknown;
  /** Names this publisher: publishes are numbered, and sent again when a connection broke before the receipt. */
  producer?: bigint | number | string;
  /** Called on every change; while waiting with the error and the delay, when closed with the error. */
  onState?: (state: State, detail: { error?: RiserError; retryMs?: number }) => void;
  /** What handlers threw, and errors that belong to no request. Default: `console.error`. */
  onError?: (error: unknown) => void;
  /** Milliseconds; the delay is drawn evenly below a ceiling that doubles from min to max. */
  backoffMinMs?: number;
  backoffMaxMs?: number;
  connectTimeoutMs?: number;
  /** Requests that may wait for a connection or an answer. Default 1000. */
  waitingMax?: number;
  /** Draws from 0 to 1, for tests. */
  random?: () => number;
}

export interface Message {
  channel: string;
  /** UUID of who published. */
  client: string;
  /** Milliseconds since 1970 by the clock of the host that took it. */
  time: number;
  type: string;
  /** A string (text) or a value (JSON). */
  data?: unknown;
  /** Everything else. */
  bytes?: Uint8Array;
  /** Null when it is shown ahead of the log (`latest`). */
  pos: Position | null;
  /** How many of this channel `conflate` passed over since the last one. */
  skipped: number;
  latest: boolean;
}

export interface Gap {
  /** Seqs in the server's log, both ends inclusive; null where nobody can say. */
  from: number | null;
  to: number | null;
  count: number | null;
  cause: string;
  pos: Position | null;
}

export interface Start {
  pos: Position;
  /** How much of what was asked for is still there. */
  complete: "full" | "partial" | "none";
  gaps: Gap[];
}

export interface Handlers {
  message?: (message: Message) => void;
  gap?: (gap: Gap) => void;
  /** After every (re)start, before its messages. */
  start?: (start: Start) => void;
  /** The server ended it, or the connection was closed for good. */
  end?: (error: RiserError) => void;
}

export interface SystemEvent {
  type: string;
  [field: string]: unknown;
}

export interface TechnicalHandlers {
  event?: (event: SystemEvent, push: { scope: "room" | "account" | "instance"; missed?: number }) => void;
  start?: (start: Start) => void;
  end?: (error: RiserError) => void;
}

export interface SubscribeOptions {
  from?: From;
  /** `credit` (default): everything, in order. `conflate`: the newest per channel. */
  flow?: "credit" | "conflate";
  /** How many messages may come before `credit(n)` allows more. Absent: the socket's pace. */
  credit?: number;
}

export class Subscription {
  readonly sub: number;
  readonly position: Position | null;
  credit(n: number): void;
  unsubscribe(): Promise<void>;
}

export type Value = string | Uint8Array | ArrayBuffer | number | boolean | null | object;
export type Receipt = { pos: Position } | { dup: true };

export class Room {
  readonly state: State;
  readonly me: { account: string; room: string; client: string; name: string; connection: number } | null;
  subscribe(channels: string, handlers: Handlers, options?: SubscribeOptions): Subscription;
  subscribeTechnical(scope: "room" | "account", handlers: TechnicalHandlers): Subscription;
  publish(channel: string, value: Value, options?: { type?: string }): Promise<Receipt>;
  publishMany(
    messages: { channel: string; value: Value; type?: string }[],
  ): Promise<({ pos: Position } | { error: RiserError })[]>;
  ping(): Promise<void>;
  close(): void;
}

/** Connects to a room: `wss://{host}/{account}/{room}`. Reconnects by itself until `close()`. */
export function connect(url: string | URL, options?: Options): Room;
/** Whether a client closed with this code should come back by itself. */
export function comesBack(closeCode: number): boolean;
/** The bytes of a payload, whatever form it came in. */
export function bytesOf(message: Message): Uint8Array;
