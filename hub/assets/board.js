// A board: what people said in a room, the newest last, with the past page by page and every wording as it was last
// edited. Whoever said something may say it otherwise, and so may who looks after the room; the server decides that.

const PAGE = 30;
const TEXT_MAX = 20_000;

/** What was said, in order, with the newest wording of each. Pure: no page, no clock. */
export class Said {
  /** By position: {pos, channel, client, time, text, edited}; in the order of the log. */
  #all = [];
  #byPos = new Map();
  /** Wordings of what is not here yet: they come before what they replace, going back. */
  #early = new Map();

  get all() {
    return this.#all;
  }

  get oldest() {
    return this.#all[0]?.pos ?? null;
  }

  /** Something was said now. The entry that it is, or changes; null if that is not here. */
  add(message) {
    if (message.replaces) return this.#reword(message);
    const entry = this.#entry(message);
    if (entry) this.#all.push(entry);
    return entry;
  }

  /** A page of the past, the oldest first. The entries that are new here, in that order. */
  before(messages) {
    // A later wording is known before an earlier one, going back: what is known stays.
    for (const message of messages.toReversed()) {
      if (message.replaces && !this.#early.has(message.replaces)) this.#early.set(message.replaces, message);
    }
    const entries = messages.filter((message) => !message.replaces).map((message) => this.#entry(message)).filter(Boolean);
    this.#all.unshift(...entries);
    return entries;
  }

  /** A session ended: takes away what it said, and returns it. */
  wipe(session) {
    const gone = this.#all.filter((entry) => entry.session === session);
    this.#all = this.#all.filter((entry) => entry.session !== session);
    for (const { pos } of gone) this.#byPos.delete(pos);
    return gone;
  }

  #entry({ pos, channel, client, time, ...message }) {
    if (this.#byPos.has(pos)) return null;
    const entry = { pos, channel, client, time, session: message.session, text: textOf(message), edited: null };
    this.#byPos.set(pos, entry);
    const later = this.#early.get(pos);
    if (later) Object.assign(entry, { text: textOf(later), edited: later.time });
    return entry;
  }

  #reword(message) {
    this.#early.set(message.replaces, message);
    const entry = this.#byPos.get(message.replaces);
    if (!entry) return null;
    return Object.assign(entry, { text: textOf(message), edited: message.time });
  }
}

function textOf({ data, data_b64, bytes }) {
  if (typeof data === "string") return data;
  if (data !== undefined) return JSON.stringify(data);
  return `${bytes?.length ?? Math.floor((data_b64.length * 3) / 4)} bytes`;
}

export class Board {
  #section;
  #parts;
  #names;
  #room = null;
  #said = new Said();
  #items = new Map();
  #next = null;
  #subscription = null;
  /** Whether everything may be edited here. */
  #administers = false;

  /** `names` says who a client is. */
  constructor(section, names) {
    this.#section = section;
    this.#names = names;
    const part = (name) => section.querySelector(`[data-part="${name}"]`);
    this.#parts = Object.fromEntries(["list", "earlier", "form", "said"].map((name) => [name, part(name)]));
    this.#parts.earlier.addEventListener("click", () => this.#turn());
    this.#parts.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#publish();
    });
  }

  /** No board, or another one. */
  leave() {
    this.#section.hidden = true;
    this.#subscription?.unsubscribe();
    this.#subscription = null;
    this.#room = null;
  }

  /** A room that is a board; once for each connection, and `update` after that. */
  enter(room) {
    this.leave();
    this.#room = room;
    this.#said = new Said();
    this.#items.clear();
    this.#parts.list.replaceChildren();
    this.#say("");
    this.#section.hidden = false;
    this.#subscription = room.subscribe("#", {
      from: { last: PAGE },
      start: ({ pos }) => (this.#next ??= pos),
      message: (message) => this.#show(message),
      wiped: (session) => this.#wipe(session),
    });
    this.#next = null;
    this.#parts.earlier.hidden = false;
  }

  update({ administers = false }) {
    if (administers === this.#administers) return;
    this.#administers = administers;
    for (const entry of this.#said.all) this.#draw(entry);
  }

  /** Who a client is, is known by now. */
  rename(client) {
    for (const entry of this.#said.all) if (entry.client === client) this.#draw(entry);
  }

  #show(message) {
    const entry = this.#said.add(message);
    if (!entry) return;
    const list = this.#parts.list;
    const isAtEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 60;
    this.#draw(entry);
    if (isAtEnd) list.scrollTop = list.scrollHeight;
  }

  #wipe(session) {
    for (const { pos } of this.#said.wipe(session)) {
      this.#items.get(pos)?.remove();
      this.#items.delete(pos);
    }
  }

  /** One page back. */
  async #turn() {
    const room = this.#room;
    const { earlier, list } = this.#parts;
    earlier.disabled = true;
    try {
      const { messages, next } = await room.past("#", { before: this.#said.oldest ?? this.#next ?? undefined, most: PAGE });
      if (room !== this.#room) return;
      const height = list.scrollHeight;
      const entries = this.#said.before(messages);
      list.prepend(...entries.map((entry) => this.#item(entry)));
      list.scrollTop += list.scrollHeight - height;
      earlier.hidden = next === null;
      if (next !== null && messages.length === 0) this.#next = next;
    } catch (error) {
      this.#say(error.what ?? error.message);
    } finally {
      earlier.disabled = false;
    }
  }

  async #publish() {
    const { form } = this.#parts;
    const { channel, text } = form.elements;
    const button = form.querySelector("button");
    button.disabled = true;
    try {
      await this.#room.publish(channel.value, text.value, { type: "text/plain" });
      text.value = "";
      this.#say("");
    } catch (error) {
      this.#say(error.what ?? error.message);
    } finally {
      button.disabled = false;
      text.focus();
    }
  }

  #say(text) {
    this.#parts.said.textContent = text;
  }

  #draw(entry) {
    const known = this.#items.get(entry.pos);
    // Not from under who is editing it.
    if (known?.querySelector("form")) return;
    const item = this.#item(entry);
    if (known) known.replaceWith(item);
    else this.#parts.list.append(item);
  }

  #item(entry) {
    const item = document.createElement("li");
    item.dataset.pos = entry.pos;
    this.#items.set(entry.pos, item);
    const head = document.createElement("p");
    head.className = "by";
    const who = document.createElement("strong");
    who.textContent = this.#names(entry.client);
    const time = document.createElement("time");
    time.dateTime = new Date(entry.time).toISOString();
    time.textContent = new Date(entry.time).toLocaleString();
    head.append(who, ` in ${entry.channel}, `, time);
    if (entry.edited !== null) {
      const edited = document.createElement("em");
      edited.textContent = " edited";
      edited.title = new Date(entry.edited).toLocaleString();
      head.append(edited);
    }
    const text = document.createElement("p");
    text.className = "text";
    text.textContent = entry.text;
    item.append(head, text);
    // By another browser she is another client, and the same person.
    const me = this.#room?.me;
    if (entry.client === me?.client || this.#names(entry.client) === me?.name || this.#administers) {
      const edit = document.createElement("button");
      edit.type = "button";
      edit.className = "quiet";
      edit.textContent = "Edit";
      edit.setAttribute("aria-label", `Edit: ${entry.text.slice(0, 60)}`);
      edit.addEventListener("click", () => this.#edit(entry, item, text, edit));
      item.append(edit);
    }
    return item;
  }

  #edit(entry, item, text, button) {
    const form = document.createElement("form");
    const area = document.createElement("textarea");
    area.value = entry.text;
    area.maxLength = TEXT_MAX;
    area.required = true;
    area.setAttribute("aria-label", "Another wording");
    const save = document.createElement("button");
    save.textContent = "Save";
    const cancel = document.createElement("button");
    cancel.type = "button";
    cancel.textContent = "Cancel";
    const said = document.createElement("p");
    said.className = "error";
    said.setAttribute("role", "alert");
    form.append(area, save, cancel, said);
    const over = () => {
      form.remove();
      this.#draw(entry);
      this.#items.get(entry.pos).querySelector("button")?.focus();
    };
    cancel.addEventListener("click", over);
    form.addEventListener("keydown", (event) => event.key === "Escape" && over());
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      save.disabled = true;
      try {
        await this.#room.edit(entry.pos, area.value, { type: "text/plain" });
        over();
      } catch (error) {
        said.textContent = error.want ? `${error.what}; needed: ${error.want}` : error.message;
        save.disabled = false;
      }
    });
    text.hidden = true;
    button.hidden = true;
    item.append(form);
    area.focus();
  }
}
