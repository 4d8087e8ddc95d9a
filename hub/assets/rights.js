// Who may what in a room: the roles in it, its grants and denies, one by one, each with a way to take it back; and those of the whole
// account, which are not this room's to change.

import { button, made, reason } from "./element.js";

export class Rights {
  #list;
  #form;
  #said;
  #again;
  #office = null;
  #tag = null;

  /** `again` looks at the room once more. */
  constructor(details, again) {
    const part = (name) => details.querySelector(`[data-part="${name}"]`);
    [this.#list, this.#form, this.#said] = ["list", "form", "form-said"].map(part);
    this.#again = again;
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#grant();
    });
  }

  get isEdited() {
    return this.#form.elements.to.value !== "";
  }

  show(office, { room, tag, everywhere }) {
    [this.#office, this.#tag] = [office, tag];
    const own = (room.grant ?? []).map((grant) => this.#item(grant, false));
    const roles = Object.entries(room.roles ?? {}).map(([to, role]) => this.#roleItem(to, role));
    this.#list.replaceChildren(...roles, ...own, ...everywhere.map((grant) => this.#item(grant, true)));
  }

  leave() {
    this.#office = null;
    this.#list.replaceChildren();
    this.#form.reset();
    this.#said.textContent = "";
  }

  async #grant() {
    const { to, channels, deny, publish, subscribe, admin } = this.#form.elements;
    const right = [publish, subscribe, admin].filter(({ checked }) => checked).map(({ name }) => name);
    if (right.length === 0) {
      this.#said.textContent = "Needed: publish, subscribe or admin.";
      return;
    }
    const submit = this.#form.querySelector('[type="submit"]');
    submit.disabled = true;
    this.#said.textContent = "";
    const office = this.#office;
    try {
      await office.grant({ to: to.value.trim(), right, channels: channels.value.trim() || "#", deny: deny.checked });
      if (office !== this.#office) return;
      this.#form.reset();
      await this.#again();
    } catch (error) {
      if (office === this.#office) this.#said.textContent = reason(error);
    } finally {
      submit.disabled = false;
    }
  }

  #roleItem(to, role) {
    const text = `${to} is ${role}`;
    const [office, tag] = [this.#office, this.#tag];
    return made("li", {}, made("span", { textContent: text }), button("Take back", `Take back: ${text}`, async () => {
      await office.setRoomRole(to, null, tag);
      if (office !== this.#office) return;
      await this.#again();
      this.#form.elements.to.focus();
    }, this.#said));
  }

  #item(grant, isEverywhere) {
    const { to, right, channels, deny = false } = grant;
    const rights = [right].flat().join(", ");
    const text = `${to} ${deny ? "is denied" : "may"} ${rights} on ${channels}`;
    const [office, tag] = [this.#office, this.#tag];
    const item = made("li", { dataset: { deny } }, made("span", { textContent: isEverywhere ? `${text}, in every room` : text }));
    if (!isEverywhere) {
      item.append(button("Take back", `Take back: ${text}`, async () => {
        await office.ungrant(grant, tag);
        if (office !== this.#office) return;
        await this.#again();
        this.#form.elements.to.focus();
      }, this.#said));
    }
    return item;
  }
}
