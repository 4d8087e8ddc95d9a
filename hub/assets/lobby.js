// The lobby: who is here, which rooms there are and how each is, and whoever waits before one because its gate asks
// somebody else; one's own keys; what who administers the account makes, and sees of its connections; and the admin lobby.

import { lobby } from "/assets/riser.js";
import { Connections } from "./connections.js";
import { Keys } from "./keys.js";
import { Making } from "./making.js";
import { Office } from "./office.js";
import { Operating } from "./operating.js";
import { whole } from "./series.js";

const LOOK_EVERY_MS = 2000;

export class LobbyView {
  #section;
  #list;
  #note;
  #said;
  #waiting;
  #enter;
  #closed;
  #making;
  #keys;
  #connections;
  #operating;
  /** Of the account, where it is one's to administer. */
  #office = null;
  #session = null;
  #door = null;
  /** Of several doors the last counts. */
  #turn = 0;
  #looking = false;

  /**
   * `enter` is asked to go into a room, by name; `giveUp` not to wait for one any more; `closed` hears why the front
   * door is closed for good.
   */
  constructor(section, { enter, giveUp, closed }) {
    this.#section = section;
    const part = (name) => section.querySelector(`[data-part="${name}"]`);
    [this.#list, this.#note, this.#said, this.#waiting] = ["rooms", "who", "said", "waiting"].map(part);
    this.#enter = enter;
    this.#closed = closed;
    this.#making = new Making(part("making"), enter);
    this.#keys = new Keys(part("keys"));
    this.#connections = new Connections(part("connections"));
    this.#operating = new Operating(part("operating"));
    part("give-up").addEventListener("click", giveUp);
    setInterval(() => this.#look(), LOOK_EVERY_MS);
  }

  /** Stands in the lobby of a session; `said` is why, if there is a reason. */
  open(session, said = "") {
    this.#section.hidden = false;
    this.#session = session;
    this.#said.textContent = said;
    this.#said.hidden = !said;
    if (this.#door) return;
    this.#list.replaceChildren();
    this.#note.textContent = "";
    this.#turn += 1;
    const turn = this.#turn;
    this.#door = lobby("/", {
      credential: session.frontCredential,
      onState: (state, { error }) => {
        if (turn !== this.#turn) return;
        if (state === "open") {
          session.isProven = true;
          this.#look();
        } else {
          this.#operating.lost();
        }
        if (state === "closed" && error.code !== "closed") {
          this.#door = null;
          this.#closed(error);
        }
      },
    });
  }

  /** Leaves it: into a room, or for good. */
  leave() {
    this.#section.hidden = true;
    this.#waiting.hidden = true;
    for (const part of [this.#making, this.#keys, this.#connections, this.#operating]) part.leave();
    this.#office = null;
    this.#turn += 1;
    this.#door?.close();
    this.#door = null;
  }

  /** Somebody was asked whether to let one into a room; null when that is over. */
  waits(room) {
    this.#waiting.hidden = room === null;
    if (room !== null) this.#waiting.firstElementChild.textContent = `You knocked at ${room}. Somebody who looks after it has been asked.`;
  }

  async #look() {
    const door = this.#door;
    if (!door || this.#looking || document.hidden || door.state !== "open") return;
    this.#looking = true;
    try {
      const rooms = await door.rooms();
      if (door === this.#door) this.#show(door.me, rooms);
    } catch {
      // The connection says for itself what became of it.
    } finally {
      this.#looking = false;
    }
  }

  #show({ account, name, administers = false }, rooms) {
    if (administers) this.#office ??= new Office(this.#session);
    this.#making.open(this.#session, administers);
    this.#connections.open(administers ? this.#office : null);
    this.#keys.open(this.#door);
    this.#operating.open(this.#door);
    write(this.#note, `${name} of ${account}; ${rooms.length === 0 ? "no room is yours to enter" : `${whole(rooms.length)} ${rooms.length === 1 ? "room" : "rooms"}`}`);
    const shown = new Map([...this.#list.children].map((item) => [item.dataset.room, item]));
    const items = rooms.map((room) => this.#item(shown.get(room.name), room));
    if (items.length !== shown.size || items.some((item) => !shown.has(item.dataset.room))) this.#list.replaceChildren(...items);
  }

  #item(known, room) {
    const item = known ?? this.#made(room.name);
    write(item.querySelector("p"), state(room));
    return item;
  }

  #made(name) {
    const item = document.createElement("li");
    item.dataset.room = name;
    const title = document.createElement("h3");
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    button.addEventListener("click", () => this.#enter(name));
    title.append(button);
    item.append(title, document.createElement("p"));
    return item;
  }
}

/** A room in a few words. */
function state({ gated, members, kind, absent }) {
  const words = [members === 0 ? "nobody here" : `${whole(members)} here`];
  if (kind === "board") words.push("board");
  if (gated) words.push("has a gate");
  if (absent) words.push(absent.length === 0 ? "ready" : `not ready: without ${absent.join(", ")}`);
  return words.join(", ");
}

function write(place, text) {
  if (place.textContent !== text) place.textContent = text;
}
