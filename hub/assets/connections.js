// The connections of an account, for who administers it: who is in, who stands at which gate, a yes or no for who knocks, and
// an end for one, which may come back.

import { button, made, reason } from "./element.js";

export class Connections {
  #details;
  #list;
  #said;
  #office = null;

  constructor(details) {
    this.#details = details;
    const part = (name) => details.querySelector(`[data-part="${name}"]`);
    [this.#list, this.#said] = ["connection-list", "connections-said"].map(part);
    part("connections-again").append(button("Look again", "Look again who is connected", () => this.#load(), this.#said));
    details.addEventListener("toggle", () => this.#load());
  }

  /** Of the account of an office; null where that is not one's to administer. */
  open(office) {
    this.#details.hidden = office === null;
    this.#office = office;
  }

  leave() {
    this.open(null);
    this.#details.open = false;
    this.#list.replaceChildren();
    this.#said.textContent = "";
  }

  async #load() {
    const office = this.#office;
    if (!office || !this.#details.open) return;
    try {
      const all = await office.connections();
      if (office !== this.#office) return;
      // Who waits for an answer comes first.
      all.sort((one, other) => Number(other.knocks) - Number(one.knocks) || one.connection - other.connection);
      this.#list.replaceChildren(...all.map((one) => this.#item(office, one)));
    } catch (error) {
      if (office === this.#office) this.#said.textContent = reason(error);
    }
  }

  #item(office, { connection, name, account, from, stands, knocks, room }) {
    const called = account ? `${account}/${name}` : name;
    const where = stands === "in" ? "in" : `at ${stands.replaceAll("_", " ")}${room ? ` of ${room}` : ""}`;
    const does = (text, act) => button(text, `${text} ${called}, connection ${connection}`, async () => {
      await act();
      await this.#load();
    }, this.#said);
    const buttons = knocks
      ? [does("Let in", () => office.decide(connection, true, room)), " ", does("Turn away", () => office.decide(connection, false, room))]
      : [does("Close", () => office.closeConnection(connection))];
    return made(
      "li",
      { dataset: { connection } },
      made("h3", { textContent: called }),
      made("p", { textContent: `${where}${from ? `, from ${from}` : ""}, connection ${connection}` }),
      made("p", { className: "decide" }, ...buttons),
    );
  }
}
