// A channel's past in a dialog: a plot since a moment, with what is gone as holes that say why; a scrub that shows
// what was there at any moment of it; a replay at the pace it had, or faster; and back to live.

import { gone, goneOf } from "./feed.js";
import { duration, readable, whole } from "./series.js";
import { KEPT_MAX, Timeline, newest } from "./timeline.js";

const DRAW_EVERY_MS = 250;
/** Steps of the scrub from one end to the other: a key moves it by one, Page Up and Down by a tenth. */
const STEPS = 1000;
const ROWS = 8;
/** Holes of each kind that are listed, and that a screen reader hears of. */
const LISTED = 50;
const SPOKEN = 3;
const WIDTH = 600;
const HEIGHT = 180;
/** How far ahead of the consumer the hub may be. */
const WINDOW = 500;
const SVG = "http://www.w3.org/2000/svg";

export class Past {
  #dialog;
  #parts;
  #now;
  #room = null;
  #channel = "";
  #subscription = null;
  /** What the system says of edges. */
  #technical = null;
  #edge;
  #timeline = new Timeline(null);
  /** What is shown: a moment, or null for the present. */
  #moment = null;
  #replay = null;
  #stale = true;
  #note = "";
  #left;

  /** `now` is the time by the hub's clock; `edge` says what an edge is called, and `left` hears that it was closed. */
  constructor(dialog, now, edge, left) {
    this.#edge = edge;
    this.#dialog = dialog;
    this.#now = now;
    this.#left = left;
    const part = (name) => dialog.querySelector(`[data-part="${name}"]`);
    const names = ["title", "from", "moment", "plot", "scrub", "value", "when", "play", "pace", "live", "gaps", "rows", "note", "more"];
    this.#parts = Object.fromEntries(names.map((name) => [name, part(name)]));
    const { from, moment, scrub, play, live, more } = this.#parts;
    from.addEventListener("change", () => this.#chosen());
    moment.addEventListener("change", () => this.#load());
    scrub.addEventListener("input", () => this.#scrubbed());
    play.addEventListener("click", () => this.#pressPlay());
    live.addEventListener("click", () => this.#goLive());
    more.addEventListener("click", () => this.#goOn());
    dialog.querySelector('[data-part="close"]').addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => this.#closed());
    setInterval(() => this.#draw(), DRAW_EVERY_MS);
  }

  /** Shows a channel of a room. */
  open(room, channel) {
    this.#room = room;
    this.#channel = channel;
    this.#parts.title.textContent = channel;
    if (!this.#dialog.open) this.#dialog.showModal();
    this.#load();
  }

  close() {
    if (this.#dialog.open) this.#dialog.close();
  }

  #closed() {
    // The event comes after the fact: the dialog may be open again by then, with something else in it.
    if (this.#dialog.open) return;
    this.#subscription?.unsubscribe();
    this.#technical?.unsubscribe();
    this.#subscription = this.#technical = null;
    this.#room = null;
    this.#replay = null;
    this.#left();
  }

  // What is asked for.

  #chosen() {
    const { from, moment } = this.#parts;
    moment.parentElement.hidden = from.value !== "moment";
    if (from.value !== "moment") return this.#load();
    moment.value ||= local(this.#now() - 3_600_000);
    moment.focus();
  }

  /** The moment that was asked for, by the hub's clock; null for the beginning. */
  #since() {
    const { from, moment } = this.#parts;
    if (from.value === "start") return null;
    if (from.value !== "moment") return this.#now() - Number(from.value);
    return moment.value ? new Date(moment.value).getTime() : this.#now();
  }

  #load() {
    this.#read(this.#since());
  }

  #read(since) {
    this.#subscription?.unsubscribe();
    this.#technical?.unsubscribe();
    const timeline = new Timeline(since);
    this.#timeline = timeline;
    this.#moment = null;
    this.#replay = null;
    this.#stale = true;
    this.#note = "Reading …";
    const subscription = this.#room.subscribe(this.#channel, {
      from: since === null ? "start" : { time: Math.round(since) },
      window: WINDOW,
      start: ({ complete }) => {
        this.#note = complete === "none" ? "This room keeps nothing of its past: what comes from now on is shown." : "";
        this.#stale = true;
      },
      message: (message) => {
        timeline.add(message);
        this.#stale = true;
        if (timeline.isFull) {
          subscription.unsubscribe();
          this.#note = `The first ${whole(KEPT_MAX)} are shown.`;
        }
      },
      gap: ({ cause, count }) => {
        timeline.gap(cause, count);
        this.#stale = true;
      },
      wiped: (session) => {
        timeline.wipe(session);
        this.#stale = true;
      },
      end: (error) => {
        this.#note = error.want ? `${error.what}. Needed: ${error.want}.` : `${error.what}.`;
        this.#stale = true;
      },
    });
    this.#subscription = subscription;
    // What an edge lost before the hub had it is in no room: the account is told.
    this.#technical = this.#room.subscribeTechnical("account", {
      from: since === null ? "start" : { time: Math.round(since) },
      event: ({ event }) => {
        if (event.type !== "link_gap") return;
        timeline.lose(Date.parse(event.time), goneOf(event, this.#edge(event.edge)));
        this.#stale = true;
      },
      end: () => {},
    });
    this.#draw();
  }

  /** Those after the last that was kept. */
  #goOn() {
    this.#parts.from.value = "moment";
    this.#parts.moment.parentElement.hidden = false;
    const { time } = this.#timeline.points.at(-1);
    this.#parts.moment.value = local(time);
    this.#read(time);
  }

  // Moving in time.

  #scrubbed() {
    const { from, to } = this.#timeline.reach(this.#now());
    this.#replay = null;
    this.#moment = from + ((to - from) * Number(this.#parts.scrub.value)) / STEPS;
    this.#stale = true;
    this.#draw();
  }

  #pressPlay() {
    if (this.#replay) {
      this.#replay = null;
    } else {
      const { from } = this.#timeline.reach(this.#now());
      // Who is in the present, or at the end, begins anew.
      const began = this.#moment ?? this.#timeline.points[0]?.time ?? from;
      this.#replay = { began, at: performance.now(), pace: Number(this.#parts.pace.value) };
      this.#moment = began;
    }
    this.#stale = true;
    this.#draw();
  }

  #goLive() {
    this.#replay = null;
    this.#moment = null;
    this.#stale = true;
    this.#draw();
  }

  #goOnPlaying(now) {
    const replay = this.#replay;
    const pace = Number(this.#parts.pace.value);
    if (pace !== replay.pace) Object.assign(replay, { began: this.#moment, at: performance.now(), pace });
    this.#moment = replay.began + (performance.now() - replay.at) * pace;
    this.#stale = true;
    if (this.#moment < now && !(this.#timeline.isFull && this.#moment > this.#timeline.reached)) return;
    this.#replay = null;
    this.#moment = null;
  }

  // What is shown.

  #draw() {
    if (!this.#dialog.open || document.hidden) return;
    const timeline = this.#timeline;
    const now = timeline.isFull ? timeline.points.at(-1).time : this.#now();
    if (this.#replay) this.#goOnPlaying(now);
    // In the present everything moves with time.
    if (!this.#stale && this.#moment !== null) return;
    this.#stale = false;
    const moment = this.#moment ?? Math.max(now, timeline.points.at(-1)?.time ?? now);
    const holes = timeline.holes(now);
    this.#plot(timeline, holes, now, moment);
    this.#say(timeline, moment, now);
    this.#list(timeline, holes, moment);
  }

  #plot(timeline, holes, now, moment) {
    const { plot } = this.#parts;
    const { from, to } = timeline.reach(now);
    const span = Math.max(1, to - from);
    const x = (time) => (((time - from) / span) * WIDTH).toFixed(1);
    const drawn = [];
    for (const hole of holes) {
      const left = Number(x(hole.from));
      // What was there on both sides at once still shows.
      const width = Math.max(3, Number(x(hole.to)) - left);
      const marks = { "data-cause": hole.cause, "data-of": hole.edge ? "edge" : "channel" };
      const rect = svg("rect", { class: "hole", x: Math.min(left, WIDTH - 3), y: 0, width, height: HEIGHT, ...marks });
      rect.append(svg("title"));
      rect.firstChild.textContent = gone(hole);
      drawn.push(rect);
    }
    const bounds = timeline.bounds();
    if (bounds) {
      const { low, high } = bounds;
      const size = high - low || Math.max(Math.abs(high) * 0.1, 1);
      const base = high === low ? low - size / 2 : low;
      const y = (value) => (HEIGHT - 8 - ((value - base) / size) * (HEIGHT - 16)).toFixed(1);
      for (const run of timeline.runs(now, WIDTH / 2)) {
        const points = run.map((point) => `${x(point.time)} ${y(point.value)}`);
        // One alone is a dot: a line without length, with round ends.
        drawn.push(svg("path", { class: "line", d: `M${points.join("L")}${points.length === 1 ? "h0" : ""}` }));
      }
    } else if (timeline.points.length > 0) {
      const step = Math.max(1, Math.floor(timeline.points.length / WIDTH));
      const ticks = timeline.points.filter((_, index) => index % step === 0);
      drawn.push(svg("path", { class: "line", d: ticks.map(({ time }) => `M${x(time)} ${HEIGHT - 8}v-20`).join("") }));
    }
    drawn.push(svg("line", { class: "moment", x1: x(moment), x2: x(moment), y1: 0, y2: HEIGHT }));
    plot.replaceChildren(...drawn);
    plot.setAttribute("aria-label", spoken(timeline, holes, from, to));
  }

  #say(timeline, moment, now) {
    const { scrub, value, when, play, live, note, more } = this.#parts;
    const { from, to } = timeline.reach(now);
    const live_ = this.#moment === null;
    const step = Math.round(((moment - from) / Math.max(1, to - from)) * STEPS);
    if (document.activeElement !== scrub || live_ || this.#replay) scrub.value = step;
    const clock = at(moment);
    scrub.setAttribute("aria-valuetext", live_ ? `${clock}, live` : clock);
    const point = timeline.at(moment);
    write(value, point ? said(point) : "nothing yet");
    write(when, point ? `${live_ ? "live" : clock}, from ${at(point.time)}` : live_ ? "live" : clock);
    write(play, this.#replay ? "Pause" : "Replay");
    live.setAttribute("aria-pressed", String(live_));
    const count = timeline.points.length;
    write(note, [`${whole(count)} ${count === 1 ? "message" : "messages"} in ${duration(to - from)}.`, this.#note].filter(Boolean).join(" "));
    more.hidden = !timeline.isFull;
  }

  #list(timeline, holes, moment) {
    const { gaps, rows } = this.#parts;
    const items = newest(holes, LISTED).map((hole) => {
      const item = document.createElement("li");
      item.dataset.cause = hole.cause;
      item.textContent = hole.edge ? `${gone(hole)}, told at ${at(hole.from)}` : `${gone(hole)}, ${at(hole.from)} to ${at(hole.to)}`;
      return item;
    });
    if (gaps.textContent !== items.map(({ textContent }) => textContent).join("")) gaps.replaceChildren(...items);
    const shown = timeline.before(moment, ROWS);
    const key = shown.map(({ pos }) => pos).join();
    if (rows.dataset.key === key) return;
    rows.dataset.key = key;
    rows.replaceChildren(...shown.map((point) => {
      const row = document.createElement("tr");
      const [time, text] = [document.createElement("td"), document.createElement("td")];
      time.textContent = at(point.time);
      text.textContent = said(point);
      row.append(time, text);
      return row;
    }));
  }
}

function svg(name, attributes = {}) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function said({ value, unit, text }) {
  return value === null ? text : readable(value, unit).join("\u202f").trim();
}

function spoken(timeline, holes, from, to) {
  const bounds = timeline.bounds();
  const parts = [`${whole(timeline.points.length)} messages from ${at(from)} to ${at(to)}`];
  if (bounds) parts.push(`between ${readable(bounds.low, "")[0]} and ${readable(bounds.high, "")[0]}`);
  parts.push(...newest(holes, SPOKEN).map(gone));
  return parts.join(", ");
}

/** A moment, with its day where that is not today's. */
function at(time) {
  const date = new Date(time);
  const clock = date.toTimeString().slice(0, 8);
  return date.toDateString() === new Date().toDateString() ? clock : `${date.toLocaleDateString("en-CA")} ${clock}`;
}

/** As an input of type datetime-local has it: to the second, in this place's time. */
function local(time) {
  const date = new Date(time);
  return new Date(time - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}

function write(place, text) {
  if (place.textContent !== text) place.textContent = text;
}
