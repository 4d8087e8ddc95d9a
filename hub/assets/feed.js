// The feed: what the system says of the room, the account and itself, as sentences, newest first; and what of it is
// shown. Kinds and fields are those of the server's closed list (`riser.joined` and the like).

import { duration, whole } from "./series.js";

const KEPT_MAX = 300;

/** Which kinds belong to what one may want to see: each to one. */
const GROUPS = {
  people: ["ready", "joined", "left", "opened", "closed", "refused", "gate", "knock", "account_changed", "client_unused"],
  traffic: ["statistics", "room_quota", "slow_reader", "reader_gap", "not_retained", "delivered", "expired", "failed"],
  edges: ["edge_online", "edge_silent", "edge_refused", "edge_flowing", "edge_clock", "edge_lag", "caught_up", "link_gap", "downlink_gap", "clone", "uplink_up", "uplink_down", "uplink_drained", "uplink_gap", "uplink_awaits"],
  quarantine: ["quarantined", "released", "dropped"],
  hub: ["started", "shutdown", "log_failing", "quota_reached", "log_recovered", "archive_failing", "archive_recovered", "archive_let_go", "archive_damaged", "clock_stepped", "clock_off", "configuration_refused", "configuration_changed", "accounts_damaged"],
};

export function words(name) {
  return String(name).replaceAll("_", " ");
}

/** What is gone, how much and why; of an edge, if its name is there: which channels that were is not known here. */
export function gone({ cause, count, atLeast, edge }) {
  const many = count === null ? "an unknown number" : `${atLeast ? "at least " : ""}${whole(count)}`;
  return `${many} gone: ${words(cause)}${edge ? `, of ${edge}, perhaps not this channel` : ""}`;
}

/** What is gone of an edge, as an event says it. */
export function goneOf({ gap, at_least }, edge) {
  return { cause: gap.cause, count: gap.to - gap.from + 1, atLeast: at_least === true, edge };
}

const lost = ({ gap, at_least }) => `${at_least ? "at least " : ""}${whole(gap.to - gap.from + 1)}`;

/** Tone and sentence of each kind. `name` is whoever it is about. */
const SENTENCES = {
  joined: (event, name) => ["", `${name} joined${event.behind ? ` behind ${event.behind}` : ""}`],
  left: (event, name) => ["", `${name} left${event.behind ? ` behind ${event.behind}` : ""}: ${words(event.cause)}`],
  opened: (event, name) => ["", `${name} connected`],
  closed: (event, name) => ["", `${name} disconnected: ${words(event.cause)}`],
  slow_reader: (event, name) => ["warn", `${name} did not keep up and was sent away`],
  room_quota: (event) => ["warn", `The room takes no more ${event.limit.replace("user_", "")}${event.name ? ` of ${event.name}` : ""} than ${event.most}`],
  client_unused: (event, name) => ["warn", `${name} is not used and will be removed in ${Math.ceil(event.left_s / 86400)} days`],
  reader_gap: (event, name) => ["warn", `${name} missed ${lost(event)} entries: ${words(event.gap.cause)}`],
  refused: (event) => ["warn", `${event.name ?? "Somebody"} was refused (${words(event.code)}): ${event.what}`],
  gate: (event) => ["", `${event.name ?? "Somebody"} at the gate: ${words(event.acceptor)} ${words(event.step)}${event.why ? `, ${event.why}` : ""}`],
  knock: (event) => ["warn", `${event.name ?? "Somebody"} knocks${event.room ? ` at ${event.room}` : ""}`],
  edge_online: (event, name) => ["good", event.backlog > 0 ? `${name} is up, with ${whole(event.backlog)} to catch up` : `${name} is up`],
  edge_refused: (event, name) => ["bad", `${name} was turned away: ${words(event.code)}`],
  edge_silent: (event, name) => ["bad", `${name} is silent: ${words(event.cause)}`],
  edge_flowing: (event, name) => ["good", `${name} flows again`],
  edge_clock: (event, name) => (event.right ? ["good", `The clock of ${name} is right`] : ["warn", `The clock of ${name} is ${duration(Math.abs(event.off_ms))} ${event.off_ms < 0 ? "behind" : "ahead"}`]),
  edge_lag: (event, name) => ["warn", `${name} is behind: ${whole(event.queued)} wait, ${whole(event.drain_per_s)} a second come`],
  caught_up: (event, name) => ["good", `${name} has caught up`],
  link_gap: (event, name) => ["bad", `${lost(event)} entries of ${name} are gone: ${words(event.gap.cause)}`],
  downlink_gap: (event, name) => ["bad", `Up to ${lost(event)} entries do not go down to ${name}: ${words(event.gap.cause)}`],
  not_retained: (event, name) => ["warn", `${name} published what is not retained: ${event.reason}`],
  clone: (event, name) => ["bad", `A second machine came as ${name} and was refused`],
  quarantined: (event, name) => ["warn", `An entry of ${name} is in quarantine: ${event.reason}`],
  released: (event) => ["good", `${event.by} released an entry to ${event.to.room}/${event.to.channel}: ${event.reason}`],
  dropped: (event) => ["warn", `${event.by} gave an entry in quarantine up: ${event.reason}`],
  ready: (event) => (event.ready ? ["good", "The room is ready"] : ["warn", `The room is not ready: without ${event.absent.join(", ")}`]),
  delivered: (event) => ["good", `Delivered to ${event.to}`],
  expired: () => ["warn", "A publication's time was over before a device had it"],
  failed: (event) => ["bad", `No device behind that edge will have a publication: ${words(event.code)}`],
  statistics: (event) => ["", `${whole(event.per_min)} publications in the last minute, ${whole(event.per_s ?? 0)} in the last second, ${whole(event.connections)} connections`],
  started: () => ["good", "The hub began"],
  shutdown: (event) => ["warn", `Going down, ${whole(event.queued)} not yet synced`],
  log_failing: (event) => ["bad", `The log cannot commit: ${words(event.code)}`],
  quota_reached: () => ["bad", "The log's quota is used up"],
  log_recovered: () => ["good", "The log commits again"],
  archive_failing: (event) => ["bad", event.code === "disk_full" ? "The disk is full: what archived rooms have is not archived" : "The archive cannot be written"],
  archive_recovered: () => ["good", "The archive is written again"],
  archive_let_go: (event) => [event.why === "quota" ? "" : "warn", `The archive let go of its oldest, ${whole(event.seqs)} entries of all rooms: ${event.why === "quota" ? "its quota is used up" : "the disk is full"}`],
  archive_damaged: (event) => ["bad", `${whole(event.files)} ${event.files === 1 ? "file" : "files"} of the archive cannot be read whole`],
  clock_stepped: (event) => ["warn", `The clock was stepped by ${duration(Math.abs(event.by_ms))} ${event.by_ms < 0 ? "back" : "ahead"}`],
  clock_off: (event) => (event.right ? ["good", `The clock is right, by ${event.uplink}`] : ["warn", `The clock is ${duration(Math.abs(event.off_ms))} ${event.off_ms < 0 ? "behind" : "ahead"} of ${event.uplink}`]),
  configuration_refused: () => ["warn", "A new configuration was refused; the last good one runs"],
  accounts_damaged: (event) => ["bad", event.lost ? "What was known of accounts is lost: nobody is let in by what files declare" : "Where accounts are kept was damaged; nothing is lost"],
  account_changed: (event) => ["warn", `${event.by}: ${event.of}, ${event.what}`],
  configuration_changed: () => ["", "Another configuration is in force"],
  uplink_up: (event) => ["good", `The link ${event.uplink} is up, ${whole(event.backlog)} to go`],
  uplink_down: (event) => ["bad", `The link ${event.uplink} is down: ${words(event.cause)}${event.queued ? `, ${whole(event.queued)} to go` : ""}`],
  uplink_drained: (event) => ["good", `The link ${event.uplink} is drained`],
  uplink_gap: (event) => ["bad", `${lost(event)} entries will never be at the hub of ${event.uplink}: ${words(event.gap.cause)}`],
  uplink_awaits: (event) => [event.waits ? "warn" : "bad", `${whole(event.to - event.from + 1)} entries are with the former parent of ${event.uplink} alone; ${event.waits ? "it waits for them" : "it does not wait for them"}`],
};

export class Feed {
  #list;
  #empty;
  #kinds = "all";
  #text = "";

  constructor(list, empty) {
    this.#list = list;
    this.#empty = empty;
  }

  clear() {
    this.#list.replaceChildren();
    this.#settle();
  }

  /** An event of the system; `name` is that of the edge or client it speaks of. */
  hear({ event, missed }, name) {
    const [tone, text] = SENTENCES[event.type]?.(event, name) ?? ["", words(event.type)];
    if (missed) this.tell("warn", `${whole(missed)} events were missed`);
    const many = event.count > 1 ? `${text} (${whole(event.count)} of the kind)` : text;
    this.tell(tone, many, { kind: event.type, at: new Date(event.time) });
  }

  /** Something for people, of no kind or of one. */
  tell(tone, text, { kind = "", at = new Date() } = {}) {
    const item = document.createElement("li");
    item.dataset.kind = kind;
    item.dataset.tone = tone;
    const time = document.createElement("time");
    time.dateTime = at.toISOString();
    time.textContent = at.toTimeString().slice(0, 8);
    const sentence = document.createElement("p");
    sentence.className = tone;
    sentence.textContent = text;
    item.append(time, sentence);
    item.hidden = !this.#shows(item);
    this.#list.prepend(item);
    while (this.#list.children.length > KEPT_MAX) this.#list.lastChild.remove();
    this.#settle();
  }

  /** Shows a group of kinds, `trouble`, or all; and of those what contains a text. */
  filter(kinds, text) {
    this.#kinds = kinds;
    this.#text = text.trim().toLowerCase();
    for (const item of this.#list.children) item.hidden = !this.#shows(item);
    this.#settle();
  }

  #shows(item) {
    const { kind, tone } = item.dataset;
    const wanted = {
      all: () => true,
      trouble: () => tone === "bad" || tone === "warn",
    }[this.#kinds] ?? (() => GROUPS[this.#kinds]?.includes(kind));
    return wanted() && item.textContent.toLowerCase().includes(this.#text);
  }

  #settle() {
    this.#empty.hidden = [...this.#list.children].some(({ hidden }) => !hidden);
  }
}
