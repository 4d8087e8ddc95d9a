// The account's quarantine, for those who look after it: entries that could not be placed, and why. Each is released
// (placed where it was meant to go) or dropped, with a reason that whoever else administers the account reads in the feed.

const SHOWN_MAX = 100;
const PAYLOAD_MAX = 2000;

export class Detained {
  #section;
  #list;
  #note;
  #room = null;
  #loading = false;

  constructor(section, list, note) {
    this.#section = section;
    this.#list = list;
    this.#note = note;
  }

  /** A room through which to ask, or null. */
  enter(room) {
    this.#room = room;
    this.#section.hidden = true;
    this.#list.replaceChildren();
    this.load();
  }

  async load() {
    const room = this.#room;
    if (!room || this.#loading) return;
    this.#loading = true;
    try {
      const { detained, next } = await room.quarantine({ list: { most: SHOWN_MAX } });
      if (room === this.#room) this.#show(detained, next);
    } catch (error) {
      // It is not for everybody; and a lost connection comes back by itself.
      if (room === this.#room && error.code === "denied") this.#section.hidden = true;
    } finally {
      this.#loading = false;
    }
  }

  #show(detained, next) {
    this.#section.hidden = detained.length === 0;
    this.#note.textContent = `${detained.length}${next ? " and more" : ""}`;
    const shown = new Map([...this.#list.children].map((item) => [item.dataset.pos, item]));
    this.#list.replaceChildren(...detained.map((one) => shown.get(one.pos) ?? this.#item(one)));
  }

  #item(one) {
    const item = document.createElement("li");
    item.dataset.pos = one.pos;
    const title = document.createElement("h3");
    title.textContent = one.room ? `${one.room}/${one.channel}` : "nowhere";
    const why = document.createElement("p");
    why.textContent = `${one.code}, ${new Date(one.time).toLocaleString()}, ${one.bytes} bytes`;
    const details = document.createElement("details");
    const summary = document.createElement("summary");
    summary.textContent = "Payload";
    const payload = document.createElement("pre");
    details.append(summary, payload);
    details.addEventListener("toggle", () => this.#inspect(one.pos, payload), { once: true });
    item.append(title, why, details, this.#form(one, item));
    return item;
  }

  #form(one, item) {
    const form = document.createElement("form");
    const label = document.createElement("label");
    const reason = document.createElement("input");
    reason.required = true;
    reason.maxLength = 60;
    reason.name = "reason";
    label.append("Reason ", reason);
    const said = document.createElement("p");
    said.className = "error";
    said.setAttribute("role", "alert");
    const button = (verb, text) => {
      const made = document.createElement("button");
      made.value = verb;
      made.textContent = text;
      return made;
    };
    const release = button("release", "Release");
    release.disabled = !one.room;
    form.append(label, release, button("drop", "Drop"), said);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const buttons = form.querySelectorAll("button");
      buttons.forEach((each) => (each.disabled = true));
      try {
        await this.#room.quarantine({ [event.submitter.value]: one.pos, reason: reason.value });
        item.remove();
        this.load();
      } catch (error) {
        said.textContent = error.want ? `${error.what}; needed: ${error.want}` : error.message;
        buttons.forEach((each) => (each.disabled = each === release && !one.room));
      }
    });
    return form;
  }

  async #inspect(pos, place) {
    try {
      const { data, data_b64 } = await this.#room.quarantine({ inspect: pos });
      const text = data_b64 === undefined ? (typeof data === "string" ? data : JSON.stringify(data, null, 1)) : textIn(data_b64);
      place.textContent = text.length > PAYLOAD_MAX ? `${text.slice(0, PAYLOAD_MAX)} …` : text;
    } catch (error) {
      place.textContent = error.message;
    }
  }
}

/** Devices that speak MQTT 3.1.1 cannot say that what they send is text. What is none is shown as it came, in base64. */
function textIn(data_b64) {
  try {
    const bytes = Uint8Array.from(atob(data_b64), (character) => character.charCodeAt(0));
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return data_b64;
  }
}
