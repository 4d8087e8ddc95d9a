// The channels of a room as live cells: the newest value, how old it is, and the last minute and a half as a line
// with its holes. Draws only what is on the screen, a few times a second.

import { gone } from "./feed.js";
import { Series, WINDOW_MS, decimals, duration, readable, shown, whole } from "./series.js";

const DRAW_EVERY_MS = 200;
const SAY_EVERY_MS = 5000;
/** Of so many sessions a cell knows what they said last. */
const SESSIONS_MAX = 8;

export class Cells {
  #list;
  #empty;
  #cells = new Map();
  #visible = new Set();
  #filter = "";
  #now;
  #open;
  #colors = null;
  #observer;
  #timer;

  /** `now` is the time by the hub's clock; `open` shows a channel's past. */
  constructor(list, empty, now, open) {
    this.#list = list;
    this.#empty = empty;
    this.#now = now;
    this.#open = open;
    this.#observer = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        if (isIntersecting) this.#visible.add(target.cell);
        else this.#visible.delete(target.cell);
      }
    }, { rootMargin: "150px" });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => (this.#colors = null));
    this.#timer = setInterval(() => this.#draw(), DRAW_EVERY_MS);
  }

  get size() {
    return this.#cells.size;
  }

  /** Forgets every channel: another room. */
  clear() {
    this.#observer.disconnect();
    this.#cells.clear();
    this.#visible.clear();
    this.#list.replaceChildren();
    this.#empty.hidden = false;
  }

  /** Shows the channels whose name contains this. */
  filter(text) {
    this.#filter = text.trim().toLowerCase();
    for (const cell of this.#cells.values()) this.#hide(cell);
  }

  /** The newest of a channel. */
  show(message) {
    this.#cell(message.channel).show(message);
  }

  /** The next of a channel, in order. */
  add(message) {
    const { number } = shown(message);
    this.#cell(message.channel).series.add(message.time, number ?? null, message.session);
  }

  /** A session ended: what it said is shown no more, and a channel in which nobody else spoke goes with it. */
  wiped(session) {
    for (const [channel, cell] of this.#cells) {
      if (cell.wipe(session)) continue;
      this.#observer.unobserve(cell.element);
      this.#visible.delete(cell);
      this.#cells.delete(channel);
      cell.element.remove();
    }
    this.#empty.hidden = this.#cells.size > 0;
  }

  /** Something is gone, told now or then: which channels it hits shows where nothing is. */
  gap(gone, told) {
    for (const { series } of this.#cells.values()) series.gap(gone, told);
  }

  #cell(channel) {
    let cell = this.#cells.get(channel);
    if (!cell) {
      cell = new Cell(channel, this.#open);
      this.#cells.set(channel, cell);
      const after = [...this.#list.children].find((other) => other.cell.channel > channel);
      this.#list.insertBefore(cell.element, after ?? null);
      this.#observer.observe(cell.element);
      this.#hide(cell);
      this.#empty.hidden = true;
    }
    return cell;
  }

  #hide(cell) {
    cell.element.hidden = !cell.channel.toLowerCase().includes(this.#filter);
  }

  #draw() {
    if (document.hidden) return;
    this.#colors ??= colors();
    const now = this.#now();
    for (const cell of this.#cells.values()) cell.series.trim(now);
    for (const cell of this.#visible) cell.draw(now, this.#colors);
  }
}

class Cell {
  #output = document.createElement("output");
  #unit = element("span", "unit");
  #age = element("span", "age");
  #passed = element("p", "passed");
  #canvas = document.createElement("canvas");
  #skipped = 0;
  #places = 0;
  #lastUnit = "";
  /** What each session said last, and everybody else: the newest last. */
  #lasts = new Map();
  #saidAt = 0;

  constructor(channel, open) {
    this.channel = channel;
    this.series = new Series();
    this.element = element("li", "cell");
    this.element.cell = this;
    const title = document.createElement("h3");
    const cut = channel.lastIndexOf("/") + 1;
    const parent = document.createElement("span");
    parent.textContent = channel.slice(0, cut);
    const button = document.createElement("button");
    button.type = "button";
    button.title = "Show its past";
    button.append(parent, channel.slice(cut));
    button.addEventListener("click", () => open(channel));
    title.append(button);
    const reading = element("div", "reading");
    reading.append(this.#output, this.#unit, this.#age);
    this.#output.setAttribute("aria-live", "off");
    this.#passed.hidden = true;
    this.#canvas.setAttribute("role", "img");
    // Before the first drawing too: a picture is never without words.
    this.#canvas.setAttribute("aria-label", spoken(this.series, [], ""));
    this.element.append(title, reading, this.#passed, this.#canvas);
  }

  show(message) {
    this.#lasts.delete(message.session);
    this.#lasts.set(message.session, message);
    if (this.#lasts.size > SESSIONS_MAX) this.#lasts.delete(this.#lasts.keys().next().value);
    const { number } = this.#write(message);
    this.series.show(message.time, number ?? null, message.session);
    this.#skipped += message.skipped;
    if (this.#skipped > 0) {
      this.#passed.hidden = false;
      this.#passed.textContent = `${whole(this.#skipped)} passed over to show the newest`;
    }
  }

  /** Takes away what a session said; whether anything is left. */
  wipe(session) {
    this.series.wipe(session);
    if (!this.#lasts.delete(session)) return true;
    const last = [...this.#lasts.values()].at(-1);
    if (last) this.#write(last);
    return last !== undefined;
  }

  #write(message) {
    const value = shown(message);
    const { number, unit, text } = value;
    if (number !== undefined) {
      this.#places = Math.max(this.#places, decimals(number));
      this.#lastUnit = unit;
    }
    const [words, shownUnit] = number === undefined ? [text, ""] : readable(number, unit, this.#places);
    this.#output.textContent = words;
    this.#output.classList.toggle("text", number === undefined);
    this.#output.title = number === undefined ? text : "";
    this.#unit.textContent = shownUnit;
    return value;
  }

  draw(now, colors) {
    const { series } = this;
    const newest = series.newest();
    const age = newest ? Math.max(0, now - newest.time) : null;
    this.#age.textContent = age === null ? "" : `${duration(age)} ago`;
    this.element.classList.toggle("stale", age !== null && age > Math.max(3000, series.reach()));
    const holes = series.holes(now);
    draw(this.#canvas, series, holes, now, colors);
    if (now - this.#saidAt > SAY_EVERY_MS) {
      this.#saidAt = now;
      this.#canvas.setAttribute("aria-label", spoken(series, holes, this.#lastUnit));
      this.#canvas.title = holes.filter((hole) => hole.gone).map((hole) => gone(hole.gone)).join("; ");
    }
  }
}

function element(name, className) {
  const made = document.createElement(name);
  made.className = className;
  return made;
}

function spoken(series, holes, unit) {
  const values = series.points.map(({ value }) => value).filter((value) => value !== null);
  const lost = holes.filter(({ gone }) => gone);
  const words = [`Last ${WINDOW_MS / 1000} seconds`];
  if (values.length > 0) {
    const [low, high] = [Math.min(...values), Math.max(...values)].map((value) => readable(value, unit).join(" ").trim());
    words.push(`from ${low} to ${high}`);
  }
  words.push(holes.length === lost.length ? "" : `${holes.length - lost.length} not here yet`, ...lost.slice(-3).map((hole) => gone(hole.gone)));
  return words.filter(Boolean).join(", ");
}

function colors() {
  const style = getComputedStyle(document.documentElement);
  const names = ["copper", "fill", "behind", "gone", "line", "soft", "card"];
  return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

function draw(canvas, series, holes, now, colors) {
  const ratio = devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  if (width === 0) return;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  const x = (time) => width - 3 - ((now - time) / WINDOW_MS) * (width - 3);
  for (const hole of holes) hatch(context, x(hole.from), x(hole.to), height, hole.gone ? colors.gone : colors.behind);

  const values = [...series.points, ...series.ahead].map(({ value }) => value).filter((value) => value !== null);
  if (values.length === 0) return ticks(context, series, x, height, colors);
  const [low, high] = bounds(values);
  const y = (value) => height - 5 - ((value - low) / (high - low)) * (height - 12);

  for (const run of runs(series)) {
    stroke(context, run, x, y, height, colors);
  }
  context.strokeStyle = colors.copper;
  context.lineWidth = 1.2;
  context.fillStyle = colors.card;
  for (const { time, value } of thin(series.ahead, x)) {
    if (value === null) continue;
    context.beginPath();
    context.arc(x(time), y(value), 1.9, 0, 2 * Math.PI);
    context.fill();
    context.stroke();
  }
  const last = series.last;
  if (last && last.value !== null && series.ahead.length === 0 && now - last.time <= series.reach()) {
    context.beginPath();
    context.arc(x(last.time), y(last.value), 2.6, 0, 2 * Math.PI);
    context.fillStyle = colors.copper;
    context.fill();
  }
}

/** Lowest and highest, with room around a line that does not move. */
function bounds(values) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  const span = high - low || Math.max(Math.abs(high) * 0.1, 1);
  return high === low ? [low - span / 2, high + span / 2] : [low, high];
}

/** Points without a hole between them. */
function* runs(series) {
  const reach = series.reach();
  let run = [];
  for (const point of series.points) {
    if (point.value === null) continue;
    if (run.length > 0 && point.time - run.at(-1).time > reach) {
      yield run;
      run = [];
    }
    run.push(point);
  }
  if (run.length > 0) yield run;
}

function stroke(context, run, x, y, height, colors) {
  const first = x(run[0].time);
  const last = x(run.at(-1).time);
  context.beginPath();
  for (const { time, value } of run) context.lineTo(x(time), y(value));
  context.strokeStyle = colors.copper;
  context.lineWidth = 1.5;
  context.lineJoin = "round";
  if (run.length === 1) {
    context.arc(first, y(run[0].value), 1, 0, 2 * Math.PI);
  }
  context.stroke();
  context.lineTo(last, height);
  context.lineTo(first, height);
  context.closePath();
  context.fillStyle = colors.fill;
  context.fill();
}

/** Arrivals of what has no number. */
function ticks(context, series, x, height, colors) {
  context.strokeStyle = colors.copper;
  context.lineWidth = 1;
  context.beginPath();
  for (const { time } of thin(series.points, x)) {
    context.moveTo(x(time), height - 4);
    context.lineTo(x(time), height - 16);
  }
  context.stroke();
}

/** Points that are some pixels apart: of points that lie on each other one is enough. */
function* thin(points, x) {
  let last = -Infinity;
  for (const point of points) {
    if (x(point.time) - last < 4) continue;
    last = x(point.time);
    yield point;
  }
}

function hatch(context, from, to, height, color) {
  const left = Math.max(0, from + 1.5);
  const right = to - 1.5;
  if (right - left < 2) return;
  context.save();
  context.beginPath();
  context.rect(left, 2, right - left, height - 4);
  context.clip();
  context.globalAlpha = 0.13;
  context.fillStyle = color;
  context.fill();
  context.globalAlpha = 0.7;
  context.strokeStyle = color;
  context.lineWidth = 1;
  context.beginPath();
  for (let at = left - height - ((left - height) % 7); at < right; at += 7) {
    context.moveTo(at, height);
    context.lineTo(at + height, 0);
  }
  context.stroke();
  context.restore();
}
