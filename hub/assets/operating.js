// The admin lobby, for who operates the hub: which accounts there are, a new one with its first user, and an end for one. The
// operator's token is typed for each visit and kept nowhere: who leaves the lobby, or loses its connection, is asked again.

import { finalButton, made, onSubmit, reason, secretOnce } from "./element.js";

export class Operating {
  #details;
  #form;
  #inside;
  #list;
  #making;
  #once;
  #said;
  #door = null;

  constructor(details) {
    this.#details = details;
    const part = (name) => details.querySelector(`[data-part="${name}"]`);
    const names = ["operate-form", "operated", "account-list", "account-form", "account-made", "operated-said"];
    [this.#form, this.#inside, this.#list, this.#making, this.#once, this.#said] = names.map(part);
    const whose = () => this.#door;
    onSubmit(this.#form, whose, async (door) => {
      const { token } = this.#form.elements;
      const shown = token.value;
      // Whatever the hub says of it, it is here no longer.
      token.value = "";
      await door.operate(shown === "" ? undefined : shown);
      if (door !== this.#door) return;
      this.#go(true);
      await this.#load();
      this.#making.elements.account.focus();
    });
    onSubmit(this.#making, whose, async (door) => {
      const { account, user } = this.#making.elements;
      const { name, user: first, password, token } = await door.makeAccount(account.value, user.value || undefined);
      if (door !== this.#door) return;
      this.#making.reset();
      this.#once.append(
        secretOnce(`The password of ${name}/${first}`, password),
        secretOnce(`The token of ${name}/${first}`, token),
      );
      await this.#load();
    });
  }

  /** In a lobby. */
  open(door) {
    this.#door = door;
    this.#details.hidden = false;
  }

  /** That connection is another one by now: nobody has shown anything on it. */
  lost() {
    if (!this.#inside.hidden) this.#go(false);
  }

  leave() {
    this.#door = null;
    [this.#details.open, this.#details.hidden] = [false, true];
    this.#go(false);
  }

  /** Nothing of the admin lobby is left for who is not in it. */
  #go(isInside) {
    this.#form.hidden = isInside;
    this.#inside.hidden = !isInside;
    this.#list.replaceChildren();
    this.#once.replaceChildren();
    this.#said.textContent = "";
    for (const form of [this.#form, this.#making]) {
      form.reset();
      form.querySelector(".error").textContent = "";
    }
  }

  async #load() {
    const door = this.#door;
    try {
      const accounts = await door.accounts();
      if (door === this.#door) this.#list.replaceChildren(...accounts.map((one) => this.#item(door, one)));
    } catch (error) {
      if (door === this.#door) this.#said.textContent = reason(error);
    }
  }

  #item(door, { name, users, rooms, sealed }) {
    const remove = finalButton("Remove", `Remove the account ${name} with all that it has`, async () => {
      await door.removeAccount(name);
      if (door === this.#door) await this.#load();
    }, this.#said);
    const state = `${users} ${users === 1 ? "user" : "users"}, ${rooms} ${rooms === 1 ? "room" : "rooms"}${sealed ? ", sealed: its credentials are not taken until it is unsealed" : ""}`;
    return made("li", { dataset: { account: name } }, made("h3", { textContent: name }), made("p", { textContent: state }), made("p", { className: "decide" }, remove));
  }
}
