// The edges as cards: what their links do, and what became of every message, as numbers that add up.

import { duration, whole } from "./series.js";
import { STATES, depth, state, told } from "./tree.js";

export class Edges {
  #list;
  #demo;
  #cards = new Map();

  /** `demo` says how to press a button ("cut", "restore", "kill") for an edge; null where there are none. */
  constructor(list, demo) {
    this.#list = list;
    this.#demo = demo;
  }

  /** An edge's name by its client id, where one is known. */
  name(client) {
    for (const card of this.#cards.values()) if (card.client === client) return card.name;
    return null;
  }

  /** The edges as `/api/status` has them. */
  update(edges) {
    for (const edge of edges) {
      let card = this.#cards.get(edge.name);
      if (!card) {
        card = new Card(edge.name, this.#demo);
        this.#cards.set(edge.name, card);
        const after = [...this.#list.children].find((other) => other.dataset.edge > edge.name);
        this.#list.insertBefore(card.element, after ?? null);
      }
      card.update(edge);
    }
    const names = new Set(edges.map(({ name }) => name));
    for (const [name, card] of this.#cards) {
      if (names.has(name)) continue;
      card.element.remove();
      this.#cards.delete(name);
    }
  }
}

class Card {
  #parts = {};
  #demo;
  #cut = false;

  constructor(name, demo) {
    this.name = name;
    this.client = null;
    this.#demo = demo;
    this.element = document.createElement("li");
    this.element.className = "edge";
    this.element.dataset.edge = name;
    this.#parts.below = part("ul", "below");
    this.element.append(this.#header(), part("div", "cable"), this.#facts(), this.#equation(), this.#parts.below);
  }

  update(edge) {
    this.client = edge.client;
    this.element.dataset.state = edge.state;
    const [sign, word] = STATES[edge.state] ?? ["?", edge.state];
    say(this.#parts.state, `${sign} ${word}`);
    // Of an edge that is away the hub knows only what it had heard.
    const away = edge.state === "offline";
    say(this.#parts.lag, away && edge.lag_ms !== null ? `≥ ${duration(edge.lag_ms)}` : duration(edge.lag_ms));
    say(this.#parts.backlog, away ? "unknown" : whole(edge.backlog));
    say(this.#parts.drain, edge.drain_per_s > 0 ? `${whole(Math.round(edge.drain_per_s))}/s` : "–");
    say(this.#parts.eta, !away && edge.backlog === 0 ? "–" : edge.eta_s === null ? "unknown" : duration(edge.eta_s * 1000));
    for (const term of ["accepted", "synced", "queued", "gapped"]) {
      say(this.#parts[term], whole(edge[term]));
      this.#parts[term].parentElement.classList.toggle("zero", edge[term] === 0 && term !== "accepted");
    }
    const off = edge.accepted - edge.synced - edge.queued - edge.gapped;
    const right = away ? "✓ added up when last heard" : "✓ adds up";
    say(this.#parts.sum, off === 0 ? right : `off by ${whole(off)}`);
    this.#parts.sum.classList.toggle("off", off !== 0);
    const { down } = edge;
    say(this.#parts.down, !down ? "–" : down.queued === 0 ? "nothing waits" : `${whole(down.queued)} wait, ${duration(down.lag_ms)}`);
    this.#tree(edge.below, away);
    if (this.#parts.cut && !this.#parts.cut.disabled) {
      // After a reload the page does not know; a silent edge of the demo is most likely cut.
      if (edge.state === "flowing") this.#cut &&= this.#cutHolds;
      const restore = this.#cut || edge.state === "silent" || edge.state === "offline";
      this.#parts.cut.dataset.does = restore ? "restore" : "cut";
      this.#parts.cut.classList.toggle("hot", !restore);
      say(this.#parts.cut, restore ? "Restore link" : "Cut link");
    }
  }

  /** The edges below this one, as those above them say, and what came of logs that nobody names. */
  #tree(below, away) {
    const list = this.#parts.below;
    list.hidden = below.length === 0;
    list.setAttribute("aria-label", `Edges below ${this.name}`);
    const shown = [...list.children];
    const known = new Map(shown.map((item) => [item.dataset.key, item]));
    const items = below.map((edge) => {
      const key = edge.name === undefined ? edge.log : [...edge.path, edge.client].join("/");
      const item = known.get(key) ?? leaf(key, edge);
      if (edge.name !== undefined) {
        say(item.firstChild, edge.name);
        // It may come, or come with another disk.
        item.firstChild.title = edge.log ? `log ${edge.log}` : "never came";
      }
      item.dataset.state = state(edge, away);
      item.style.setProperty("--depth", depth(edge));
      say(item.lastChild, told(edge, away, moment));
      return item;
    });
    if (items.length !== shown.length || items.some((item, at) => item !== shown[at])) list.replaceChildren(...items);
  }

  /** A cut shows in the state only after a while. */
  get #cutHolds() {
    return performance.now() - this.#parts.cut.pressedAt < 6000;
  }

  #header() {
    const header = document.createElement("header");
    const title = document.createElement("h3");
    title.textContent = this.name;
    this.#parts.state = part("span", "state");
    header.append(title, this.#parts.state);
    if (this.#demo) header.append(this.#actions());
    return header;
  }

  #actions() {
    const actions = part("div", "actions");
    const cut = button("Cut link", "hot", async () => {
      const verb = cut.dataset.does ?? "cut";
      await this.#press(cut, verb);
      this.#cut = verb === "cut";
    });
    cut.pressedAt = -Infinity;
    const kill = button("Kill edge", "hot", () => this.#press(kill, "kill"));
    kill.title = "SIGKILL; the demo starts it again";
    for (const made of [cut, kill]) made.setAttribute("aria-describedby", "edges-note");
    this.#parts.cut = cut;
    actions.append(cut, kill);
    return actions;
  }

  async #press(pressed, verb) {
    pressed.disabled = true;
    pressed.pressedAt = performance.now();
    try {
      await this.#demo(verb, this.name);
    } finally {
      pressed.disabled = false;
    }
  }

  #facts() {
    const facts = part("dl", "facts");
    for (const [key, word] of [["lag", "Lag"], ["backlog", "Backlog"], ["drain", "Drains at"], ["eta", "Done in"], ["down", "Way down"]]) {
      facts.append(this.#term(key, word));
    }
    return facts;
  }

  #equation() {
    const equation = part("div", "equation");
    const numbers = document.createElement("dl");
    const terms = [["accepted", "accepted", "="], ["synced", "synced", "+"], ["queued", "queued", "+"], ["gapped", "gapped", ""]];
    for (const [key, word, sign] of terms) {
      const term = this.#term(key, word);
      term.classList.add(key);
      // Between the numbers, and no number itself.
      term.lastChild.dataset.sign = sign;
      numbers.append(term);
    }
    this.#parts.sum = part("p", "sum");
    equation.append(numbers, this.#parts.sum);
    return equation;
  }

  #term(key, word) {
    const term = document.createElement("div");
    const title = document.createElement("dt");
    title.textContent = word;
    this.#parts[key] = document.createElement("dd");
    this.#parts[key].textContent = "–";
    term.append(title, this.#parts[key]);
    return term;
  }
}

function part(name, className) {
  const made = document.createElement(name);
  made.className = className;
  return made;
}

/** An edge below an edge: by its name, or by its log where nobody says whose that is. */
function leaf(key, { name, log }) {
  const item = document.createElement("li");
  item.dataset.key = key;
  if (name === undefined) {
    const digits = document.createElement("code");
    digits.textContent = log.slice(0, 8);
    digits.title = `log ${log}`;
    item.append("edge ", digits, " ", document.createElement("span"));
  } else {
    item.append(document.createElement("b"), " ", document.createElement("span"));
  }
  return item;
}

/** A moment of the hub's clock, for people. */
function moment(ms) {
  const time = new Date(ms);
  const isToday = Date.now() - ms < 12 * 3600_000;
  return isToday ? time.toLocaleTimeString() : time.toLocaleString();
}

function button(text, className, press) {
  const made = part("button", className);
  made.type = "button";
  made.textContent = text;
  made.addEventListener("click", press);
  return made;
}

/** Changes a text only where it changes: nothing is laid out again for nothing. */
function say(place, text) {
  if (place.textContent !== text) place.textContent = text;
}
