// What who administers the account makes in the lobby: rooms, users and clients, each of these with its first credential. A
// secret that the hub made is shown once, until it is put away or the lobby is left.

import { made, onSubmit, reason, secretOnce } from "./element.js";
import { Office } from "./office.js";

export class Making {
  #details;
  #rooms;
  #members;
  #made;
  #office = null;

  /** `enter` is asked to go into the room that was made. */
  constructor(details, enter) {
    this.#details = details;
    const part = (name) => details.querySelector(`[data-part="${name}"]`);
    [this.#rooms, this.#members, this.#made] = ["room-form", "member-form", "made"].map(part);
    this.#makes(this.#rooms, async (office, { name, kind, history }) => {
      await office.makeRoom({ name, kind, history });
      if (office === this.#office) enter(name);
    });
    this.#makes(this.#members, async (office, fields) => this.#makeMember(office, fields));
  }

  /** In the lobby of a session: there is something to make for who administers the account. */
  open(session, administers) {
    this.#details.hidden = !administers;
    if (administers) this.#office ??= new Office(session);
  }

  leave() {
    this.#office = null;
    this.#details.hidden = true;
    this.#details.open = false;
    this.#made.replaceChildren();
    for (const form of [this.#rooms, this.#members]) {
      form.reset();
      form.querySelector(".error").textContent = "";
    }
  }

  /** What a form makes of its fields, which are empty again when it is made. */
  #makes(form, make) {
    onSubmit(form, () => this.#office, async (office) => {
      await make(office, Object.fromEntries(new FormData(form)));
      if (office === this.#office) form.reset();
    });
  }

  async #makeMember(office, { member, name, role, groups, credential }) {
    const list = groups.split(/[\s,@]+/).filter(Boolean);
    const { id } = await office.makeMember(member, { name, ...(role && { role }), ...(list.length > 0 && { groups: list }) });
    if (credential === "") return this.#say(office, made("p", { textContent: `${name} is there, and has no credential yet.` }));
    try {
      const { kind, value } = await office.addCredential(id, credential);
      this.#say(office, secretOnce(`The ${kind} of ${name}`, value));
    } catch (error) {
      throw new Error(`${name} is there, but has no credential: ${reason(error)}`);
    }
  }

  #say(office, what) {
    if (office === this.#office) this.#made.append(what);
  }
}
