// The page of a hub: one room's channels as live cells, its edges, and what the system says of itself.
//
// A room is read twice on one connection: `conflate` for the present, which never waits, and `credit` for
// everything in order, which draws the lines and fills their holes when a backlog drains. The edges come from
// `GET /api/status` each second, with `Authorization: Basic` as signed in with; only what the user may see:
//
//   { "now": 1700000000000,                       the hub's wall clock, milliseconds
//     "edges": [{ "name": "north", "client": "…uuid…",
//                 "state": "flowing" | "behind" | "silent" | "offline",
//                 "since": 1700000000000,         the moment at which its link came up or went down
//                 "lag_ms": 12,                   null where nothing was ever synced; a lower bound of an edge that is away
//                 "last_added": 812, "last_synced": 811,
//                 "backlog": 1, "drain_per_s": 240.5, "eta_s": 0.1,        eta_s null where nobody can say
//                 "accepted": 812, "synced": 811, "queued": 1, "gapped": 0,
//                 "down": { "queued": 0, "lag_ms": 0 },            the way down; null while its link is not up
//                 "below": [                      each behind the one above it
//                   { "name": "cellar", "client": "…uuid…", "path": [],   the clients between it and this edge
//                     "log": "5ca7c8bfc1c86dba",                          null where it never came
//                     "state": as above, or "unknown" below one that is cut off; "since", "lag_ms" … "gapped": as above },
//                   { "log": "…", "accepted": 90, "synced": 90, "gapped": 0 }] }],   of which nobody says whose it is
//     "rooms": [{ "name": "plant", "history": "log", "channels": 12, "messages": 8120, "bytes": 1218000,
//                 "members": 3, "subscribers": 4, "last": 1700000000000 }] }
//                                               channels, messages, bytes and last null where not all of it may be read
//
// `backlog` is `last_added - last_synced`; the four terms are one snapshot, so they add up.
//
// The demo replaces `<!--riser-demo-->` in the page with
//   <script type="application/json" id="riser-demo">
//     { "account": "demo", "room": "plant", "user": "viewer", "password": "…", "try": "mosquitto_pub …" }</script>
// With it the page signs in by itself and shows its buttons: POST /demo/cut?edge=NAME, /demo/restore, /demo/kill.

import { Administration } from "/assets/administration.js";
import { Board } from "/assets/board.js";
import { Cells } from "/assets/cells.js";
import { Session, cameBack, known, providersOf, signIn as showCredential, wayTo } from "/assets/door.js";
import { Edges } from "/assets/edges.js";
import { Detained } from "/assets/detained.js";
import { Feed, goneOf, words } from "/assets/feed.js";
import { Devices } from "/assets/devices.js";
import { AtGate } from "/assets/gate.js";
import { LobbyView } from "/assets/lobby.js";
import { Names } from "/assets/names.js";
import { Past } from "/assets/past.js";
import { People } from "/assets/people.js";
import { connect } from "/assets/riser.js";
import { WINDOW_MS, duration, whole } from "/assets/series.js";

const STATUS_EVERY_MS = 1000;
/** Comings and goings are told; this is for what is told with a delay, and for durations. */
const PEOPLE_EVERY_MS = 10_000;
/** Events of the past that are shown first. */
const EVENTS = 50;
/** Messages that may be under way on the complete subscription: what a browser is willing to hold. */
const WINDOW = 2000;
const HISTORY = 3000;

const at = (id) => document.getElementById(id);
const demo = readDemo();

let session = null;
/** The room's name, and the connection to it. */
let roomName = null;
let room = null;
/** Of several connections the last counts. */
let turn = 0;
/** The channel that the address names, until its past is open. */
let named = null;
/** The hub's clock minus ours. */
let skewMs = 0;

const hubNow = () => Date.now() + skewMs;
const cells = new Cells(at("cells"), at("cells-empty"), hubNow, openPast);
const past = new Past(at("past"), hubNow, edgeName, () => place());
const edges = new Edges(at("edges"), demo && press);
const feed = new Feed(at("feed"), at("feed-empty"));
const people = new People(at("people"), at("people-note"));
const detained = new Detained(at("quarantine"), at("detained"), at("quarantine-note"));
const names = new Names((client) => board.rename(client));
const board = new Board(at("board"), (client) => names.of(client));
const administration = new Administration(at("administration"), {
  named: (members) => members.forEach(({ id, name }) => names.learn(id, name)),
  enter: (name) => enter(name),
  gone: () => toLobby(),
});
const devices = new Devices(at("devices"));
const gate = new AtGate(at("gate"), at("gate-list"), at("gate-note"));
const lobby = new LobbyView(at("lobby"), {
  enter: (name) => enter(name),
  giveUp: () => toLobby(),
  closed: (error) => signIn(error),
});

function readDemo() {
  const block = at("riser-demo");
  return block ? JSON.parse(block.textContent) : null;
}

// Signing in, the lobby, and into a room.

function enter(name) {
  leaveRoom();
  roomName = name;
  named = channelIn(location.hash, session.account, name);
  place(named);
  at("signin-error").hidden = true;
  say("account", session.account);
  offerRooms([name]);
  cells.clear();
  feed.clear();
  people.clear();
  names.enter(session, name);
  const mine = turn;
  room = connect(`/${session.account}/${name}`, {
    credential: session.credential,
    onState: (state, detail) => mine === turn && onState(state, detail),
    onPrompt: ({ type }) => {
      if (mine !== turn || type !== "knocked") return;
      show("lobby");
      lobby.open(session);
      lobby.waits(name);
    },
  });
  const shows = { wiped: (session) => cells.wiped(session), waits: waitsToRead };
  room.subscribe("#", { flow: "conflate", from: { last: 500 }, message: (message) => cells.show(message), ...shows });
  room.subscribe("#", {
    from: { last: HISTORY },
    window: WINDOW,
    message: (message) => cells.add(message),
    ...shows,
    gap(gap) {
      cells.gap({ cause: gap.cause, count: gap.count });
      feed.tell("bad", `${gap.count === null ? "An unknown number of" : whole(gap.count)} entries are gone for this reader: ${words(gap.cause)}`);
    },
  });
  room.subscribeTechnical("room", { from: { last: EVENTS }, event: heard });
  room.subscribeTechnical("account", { from: { last: EVENTS }, event: heard });
}

/** Everything on the page reads by the same room: it is told once, of the first. */
function waitsToRead({ what }) {
  feed.tell("warn", `This page reads nothing for now: ${what}; it asks again`);
}

function onState(state, { error, retryMs }) {
  const shown = at("connection");
  shown.dataset.state = state;
  shown.textContent = {
    connecting: "connecting",
    open: "live",
    waiting: `connection lost, again in ${duration(retryMs)}`,
    closed: "not connected",
  }[state];
  if (state === "open") {
    session.isProven = true;
    lobby.leave();
    show("floors");
    poll();
    meet();
    detained.enter(room);
    gate.enter(room);
    devices.enter(session, roomName, room);
    administration.enter(session, roomName);
    if (named !== null) openPast(named);
    named = null;
  }
  if (state === "closed" && error?.code !== "closed") {
    if (session.isProven && error.code !== "not_authorised") toLobby(error);
    else signIn(error);
  }
}

/** One of them, and what of the bar belongs to it. */
function show(part) {
  for (const id of ["signin", "lobby", "floors"]) at(id).hidden = id !== part;
  document.querySelector(".where").hidden = part !== "floors";
  at("to-lobby").hidden = part !== "floors" || demo !== null;
  at("leave").hidden = part === "signin";
  document.querySelector(".skip").hidden = part !== "floors";
}

function toLobby(error = null) {
  leaveRoom();
  place();
  show("lobby");
  lobby.waits(null);
  lobby.open(session, error ? reason(error) : "");
}

function signIn(error) {
  leaveRoom();
  lobby.leave();
  session = null;
  show("signin");
  const { account, room: name, user, password } = at("signin").elements;
  const [, hashAccount = "", hashRoom = ""] = /^#([a-z0-9-]+)(?:\/([a-z0-9-]+))?(?:\/|$)/.exec(location.hash) ?? [];
  account.value ||= hashAccount;
  name.value ||= hashRoom;
  at("signin-error").hidden = !error;
  if (error) say("signin-error", reason(error));
  offerProviders();
  [account, user, password].find((field) => !field.value)?.focus();
}

function reason({ what, want }) {
  return want ? `${sentence(what)}. Needed: ${want}.` : `${sentence(what)}.`;
}

/** The address says what is looked at: it can be kept, and sent to somebody. */
function place(channel = null) {
  if (!session) return;
  const parts = [session.account, roomName, channel === null ? null : encodeURIComponent(channel)];
  history.replaceState(null, "", `#${parts.filter((part) => part !== null).join("/")}`);
}

function channelIn(hash, account, name) {
  const start = `#${account}/${name}/`;
  if (!hash.startsWith(start)) return null;
  try {
    return decodeURIComponent(hash.slice(start.length)) || null;
  } catch {
    return null;
  }
}

function openPast(channel) {
  place(channel);
  past.open(room, channel);
}

function leaveRoom() {
  past.close();
  administration.leave();
  board.leave();
  boarded = null;
  turn += 1;
  room?.close();
  room = null;
  roomName = null;
}

/** Into the room that was asked for, or the lobby. */
function goTo(name) {
  if (name) enter(name);
  else toLobby();
}

at("signin").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  const button = form.querySelector('[type="submit"]');
  const { room: name, ...shown } = Object.fromEntries(new FormData(form));
  button.disabled = true;
  try {
    session = await showCredential(shown);
    if (session.password === null) form.elements.password.value = "";
    goTo(name);
  } catch (error) {
    signIn(error);
  } finally {
    button.disabled = false;
  }
});

/** The account whose providers are shown. */
let offered = null;

/** A button for each provider of the account that is named. */
async function offerProviders() {
  const { account, room: name } = at("signin").elements;
  const asked = account.validity.valid ? account.value : "";
  if (asked === offered) return;
  offered = asked;
  const providers = asked === "" ? [] : await providersOf(asked);
  if (asked !== offered) return;
  at("providers").hidden = providers.length === 0;
  at("providers").replaceChildren(...providers.map((called, provider) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = `Sign in with ${called}`;
    button.addEventListener("click", () => location.assign(wayTo({ account: asked, provider, room: name.value })));
    return button;
  }));
}

at("signin").elements.account.addEventListener("change", offerProviders);

at("leave").addEventListener("click", async () => {
  await session?.end();
  at("signin").reset();
  history.replaceState(null, "", "#");
  signIn(null);
});

at("to-lobby").addEventListener("click", () => toLobby());
at("rooms").addEventListener("change", (event) => enter(event.target.value));
at("filter").addEventListener("input", (event) => cells.filter(event.target.value));
at("feed-form").addEventListener("input", () => feed.filter(at("feed-kinds").value, at("feed-text").value));
at("feed-form").addEventListener("submit", (event) => event.preventDefault());

document.addEventListener("keydown", (event) => {
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement?.tagName);
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !at("floors").hidden) {
    event.preventDefault();
    at("filter").focus();
  } else if (event.key === "Escape" && document.activeElement === at("filter")) {
    at("filter").value = "";
    cells.filter("");
    at("filter").blur();
  }
});

// The edges.

let polling = false;

async function poll() {
  if (polling || !room || document.hidden) return;
  polling = true;
  try {
    const answer = await fetch("/api/status", { headers: session.headers, cache: "no-store", signal: AbortSignal.timeout(5000) });
    if (!answer.ok) throw new Error(`the hub answers ${answer.status}`);
    showStatus(await answer.json());
  } catch (error) {
    say("edges-note", `No status: ${error.message}. What is shown is old.`);
  } finally {
    polling = false;
  }
}

function showStatus(status) {
  if (!room) return;
  if (!status) return say("edges-note", "The hub has just started.");
  skewMs = status.now - Date.now();
  edges.update(status.edges);
  const behind = status.edges.filter(({ state }) => state !== "flowing").length;
  const count = status.edges.length;
  say("edges-note", count === 0 ? "No edge was heard of yet." : behind === 0 ? `${count === 1 ? "flowing" : `all ${count} flowing`}` : `${behind} of ${count} not flowing`);
  offerRooms(status.rooms.map(({ name }) => name));
  showRooms(status.rooms);
  const here = status.rooms.find(({ name }) => name === roomName);
  if (here) {
    const through = here.messages === null ? "" : `${whole(here.messages)} publications in ${whole(here.channels)} channels, `;
    say("channels-note", `${through}${whole(here.members)} here`);
  }
}

function offerRooms(names) {
  const all = names.includes(roomName) ? names : [roomName, ...names];
  const select = at("rooms");
  if ([...select.options].map(({ value }) => value).join() === all.join() && select.value === roomName) return;
  select.replaceChildren(...all.map((name) => new Option(name, name, name === roomName, name === roomName)));
}

function showRooms(rooms) {
  const shown = at("room-list");
  const names = rooms.map(({ name }) => name);
  if ([...shown.children].map(({ dataset }) => dataset.room).join() !== names.join()) {
    shown.replaceChildren(...names.map(roomButton));
  }
  rooms.forEach(({ name, members, channels, messages }, index) => {
    const item = shown.children[index];
    item.firstChild.setAttribute("aria-current", name === roomName);
    // Who may not read all of a room is not told how much goes through it.
    const counts = `${whole(members)} here${messages === null ? "" : `, ${whole(messages)} in ${whole(channels)} channels`}`;
    if (item.lastChild.textContent !== counts) item.lastChild.textContent = counts;
  });
}

function roomButton(name) {
  const item = document.createElement("li");
  item.dataset.room = name;
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = name;
  button.addEventListener("click", () => {
    if (name !== roomName) enter(name);
  });
  item.append(button, document.createElement("span"));
  return item;
}

// Who is here.

/** The connection that was asked who is there, and has not answered. */
let meeting = null;
/** The connection whose board is shown. */
let boarded = null;

function showReadiness({ ready, absent = [] }) {
  const shown = at("readiness");
  shown.hidden = ready === undefined;
  shown.dataset.ready = ready;
  say("readiness", ready ? "Ready: everybody it waits for is here." : `Not ready: without ${absent.join(", ")}.`);
}

async function meet() {
  if (!room || meeting === room || document.hidden) return;
  const asked = room;
  meeting = asked;
  try {
    const presence = await asked.presence();
    if (asked !== room) return;
    for (const { client, name } of presence.present) names.learn(client, name);
    people.update(presence, Date.now() + skewMs);
    gate.update(presence);
    devices.update(presence);
    administration.update(presence);
    showReadiness(presence);
    if (presence.kind === "board" && asked !== boarded) {
      boarded = asked;
      board.enter(asked);
    }
    board.update(presence);
  } catch {
    // The connection says for itself what became of it.
  } finally {
    if (meeting === asked) meeting = null;
  }
}

async function press(verb, edge) {
  try {
    const answer = await fetch(`/demo/${verb}?edge=${encodeURIComponent(edge)}`, { method: "POST" });
    if (!answer.ok) throw new Error(`the demo answers ${answer.status}`);
    feed.tell("warn", { cut: `You cut the link of ${edge}.`, restore: `You restored the link of ${edge}.`, kill: `You killed ${edge}.` }[verb]);
  } catch (error) {
    feed.tell("bad", `${edge}: ${error.message}`);
  }
  poll();
}

// The technical feed.

function heard(said) {
  const { event } = said;
  if (event.client && event.name) names.learn(event.client, event.name);
  devices.hear(event);
  feed.hear(said, event.name ?? edgeName(event.edge));
  const told = Date.parse(event.time);
  // Cells show what they have the time of; whose entries they were is known, and in which channels is not.
  if (event.type === "link_gap" && hubNow() - told < WINDOW_MS) cells.gap(goneOf(event, edgeName(event.edge)), told);
  // What is told of the past was seen when it was the present.
  if (hubNow() - told >= PEOPLE_EVERY_MS) return;
  if (["joined", "left", "gate", "knock", "closed", "ready"].includes(event.type)) meet();
  if (event.type === "quarantined" || event.type === "released" || event.type === "dropped") detained.load();
  if (event.type === "account_changed") administration.changed();
  if (event.edge) poll();
}

function edgeName(edge) {
  return edges.name(edge) ?? "an edge";
}

function sentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function say(id, text) {
  const place = at(id);
  if (place.textContent !== text) place.textContent = text;
}

// From here on it runs.

setInterval(poll, STATUS_EVERY_MS);
setInterval(meet, PEOPLE_EVERY_MS);
document.addEventListener("visibilitychange", poll);
if (demo) {
  if (demo.try) {
    const code = document.createElement("code");
    code.textContent = demo.try;
    at("try").append("Publish something yourself: ", code);
    at("try").hidden = false;
  }
  session = new Session(demo);
  enter(demo.room);
} else {
  const refused = cameBack();
  session = refused ? null : await known();
  if (session) goTo(/^#[a-z0-9-]+\/([a-z0-9-]+)/.exec(location.hash)?.[1]);
  else signIn(refused);
}
