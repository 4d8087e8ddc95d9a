// A room's administration, for who looks after it: its configuration, its rights, who could be in it, and the audit log.
// Each is asked of the hub below /api/admin, which decides what who asks may see and change; what it says is wrong is
// shown as it says it. What was changed by somebody else since it was looked at is refused there, and nothing is
// overwritten.

import { AuditLog } from "./audit.js";
import { Configuration } from "./configuration.js";
import { reason, write } from "./element.js";
import { Members } from "./members.js";
import { Office } from "./office.js";
import { Rights } from "./rights.js";

export class Administration {
  #section;
  #note;
  #said;
  #parts;
  #members;
  #audit;
  #entered = null;
  /** As what is being looked at. */
  #loading = null;
  #isShown = false;

  /** `named` is told who clients are, `enter` is asked to go into a room, and `gone` is told that there is none any more. */
  constructor(section, { named, enter, gone }) {
    this.#section = section;
    const part = (name) => section.querySelector(`[data-part="${name}"]`);
    [this.#note, this.#said] = [part("note"), part("said")];
    const again = () => this.load();
    this.#members = new Members(part("members"), named, () => this.load(true));
    this.#audit = new AuditLog(part("audit"));
    this.#parts = [new Configuration(part("configuration"), again, enter, gone), new Rights(part("rights"), again)];
  }

  /** A room of a session; whether it is this one's to look after, presence says. */
  enter(session, room) {
    // Only the connection is another one: what is being edited stays.
    if (this.#entered?.isOf(session, room)) return this.changed();
    this.#entered = new Office(session, room);
    this.#isShown = false;
    this.#clear();
    for (const details of this.#section.querySelectorAll("details")) details.open = false;
  }

  leave() {
    this.#entered = null;
    this.#clear();
  }

  /** Nothing that was shown of a room, and nobody's right to it, is left for who comes next. */
  #clear() {
    this.#section.hidden = true;
    this.#show(false);
    write(this.#said, "");
    write(this.#note, "");
    for (const part of [...this.#parts, this.#members, this.#audit]) part.leave();
  }

  /** The parts, or but what is said of them. */
  #show(isShown) {
    for (const details of this.#section.querySelectorAll("details")) details.hidden = !isShown;
  }

  update({ administers = false }) {
    if (administers && !this.#isShown) this.load();
    if (!administers) this.#section.hidden = true;
    this.#isShown = administers;
  }

  /** Something of the account was changed, by somebody: what is not being edited is shown as it is now. */
  changed() {
    if (!this.#isShown) return;
    this.load(true);
    this.#members.load();
    this.#audit.load();
  }

  /** Looks at the room as it is now; `gently` leaves alone what is being edited. */
  async load(gently = false) {
    const isEdited = () => gently && this.#parts.some((part) => part.isEdited);
    const office = this.#entered;
    if (isEdited()) return;
    if (!office || this.#loading === office) return;
    this.#loading = office;
    try {
      const answer = await office.room();
      if (office !== this.#entered || isEdited()) return;
      write(this.#said, "");
      write(this.#note, answer.account ? "you administer the account" : "you look after this room");
      this.#show(true);
      for (const part of this.#parts) part.show(office, answer);
      this.#members.enter(office, answer.account);
      this.#audit.enter(answer.account ? office : null);
      this.#section.hidden = false;
    } catch (error) {
      if (office !== this.#entered) return;
      // Whose right is for some channels only administers nothing here.
      this.#section.hidden = error.code === "unknown" || error.code === "not_authorised";
      write(this.#said, reason(error));
    } finally {
      if (this.#loading === office) this.#loading = null;
    }
  }
}
