// Whoever stands at the room's gate, or at the account's, for those who look after it: who it is, what it waits for, and
// a yes or no for who knocks.

export class AtGate {
  #section;
  #list;
  #note;
  #room = null;

  constructor(section, list, note) {
    this.#section = section;
    this.#list = list;
    this.#note = note;
  }

  /** The room through which is asked and decided. */
  enter(room) {
    this.#room = room;
    this.#section.hidden = true;
    this.#list.replaceChildren();
  }

  /** Those who wait, and the gate's stages, as presence has them. */
  update({ gate = [], waiting = [] }) {
    this.#section.hidden = gate.length === 0 && waiting.length === 0;
    const stages = gate.map((stage) => stage.join(" or ")).join(", then ");
    write(this.#note, stages ? `in this order: ${stages}` : "");
    const shown = new Map([...this.#list.children].map((item) => [item.dataset.knock, item]));
    const items = waiting.map((one) => shown.get(knockOf(one)) ?? this.#item(one));
    if (items.length !== shown.size || items.some((item) => !shown.has(item.dataset.knock))) this.#list.replaceChildren(...items);
  }

  #item({ connection, name, acceptor, knocks, room }) {
    const item = document.createElement("li");
    item.dataset.connection = connection;
    item.dataset.knock = knockOf({ connection, room });
    const title = document.createElement("h3");
    title.textContent = name ?? "somebody";
    const state = document.createElement("p");
    state.textContent = `at ${acceptor.replaceAll("_", " ")}${room ? ` of ${room}` : ""}, connection ${connection}`;
    item.append(title, state);
    if (knocks) item.append(this.#buttons(item, { connection, room, name: name ?? "somebody" }));
    return item;
  }

  #buttons(item, { connection, room, name }) {
    const actions = document.createElement("p");
    actions.className = "decide";
    const said = document.createElement("span");
    said.className = "error";
    said.setAttribute("role", "alert");
    const button = (text, admit) => {
      const made = document.createElement("button");
      made.type = "button";
      made.textContent = text;
      made.setAttribute("aria-label", `${text} ${name}`);
      made.addEventListener("click", async () => {
        const buttons = actions.querySelectorAll("button");
        buttons.forEach((each) => (each.disabled = true));
        try {
          await this.#room.decide(connection, admit, room);
          item.remove();
        } catch (error) {
          said.textContent = error.what;
          buttons.forEach((each) => (each.disabled = false));
        }
      });
      return made;
    };
    actions.append(button("Let in", true), " ", button("Turn away", false), " ", said);
    return actions;
  }
}

/** Who goes on and knocks at another room is asked about anew. */
function knockOf({ connection, room }) {
  return `${connection} ${room ?? ""}`;
}

function write(place, text) {
  if (place.textContent !== text) place.textContent = text;
}
