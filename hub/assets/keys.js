// What one proves oneself with, in the lobby: which there are, a new token, and an end for one, for ever. A token is shown
// once. Who came by a cookie makes none that lasts: the hub says so.

import { button, finalButton, made, reason, secretOnce } from "./element.js";

export class Keys {
  #details;
  #list;
  #once;
  #said;
  #door = null;

  constructor(details) {
    this.#details = details;
    const part = (name) => details.querySelector(`[data-part="${name}"]`);
    [this.#list, this.#once, this.#said] = ["key-list", "key-made", "keys-said"].map(part);
    const make = button("Make a token", "Make a token of your own", async () => {
      const door = this.#door;
      const { kind, token } = await door.makeKey();
      if (door !== this.#door) return;
      this.#once.append(secretOnce(`Your ${kind}`, token));
      await this.#load();
    }, this.#said);
    part("key-make").append(make);
    details.addEventListener("toggle", () => this.#load());
  }

  /** In a lobby. */
  open(door) {
    if (this.#door === door) return;
    this.#door = door;
    this.#details.hidden = false;
    this.#load();
  }

  leave() {
    this.#door = null;
    this.#list.replaceChildren();
    this.#once.replaceChildren();
    this.#said.textContent = "";
    [this.#details.open, this.#details.hidden] = [false, true];
  }

  async #load() {
    const door = this.#door;
    if (!door || !this.#details.open) return;
    try {
      const keys = await door.keys();
      if (door === this.#door) this.#list.replaceChildren(...keys.map((key) => this.#item(key)));
    } catch (error) {
      if (door === this.#door) this.#said.textContent = reason(error);
    }
  }

  #item({ kind, fingerprint }) {
    const name = `${kind.replaceAll("_", " ")} ${fingerprint}`;
    const door = this.#door;
    const revoke = finalButton("Revoke", `Revoke your ${name}`, async () => {
      await door.revokeKey(fingerprint);
      await this.#load();
    }, this.#said);
    return made("li", {}, made("span", { textContent: name }), " ", revoke);
  }
}
