// A room's administration, for who looks after it: its configuration, its rights, who could be in it, and the audit log.
// Each is asked of the hub below /api/admin, which decides what who asks may see and change; what it says is wrong is
// shown as it says it. What was changed by somebody else since it was looked at is refused there, and nothing is
// overwritten.

import { AuditLog } from "./audit.js";
import { Configuration } from "./configuration.js";
import { Refused } from "./door.js";
import { reason, write } from "./element.js";
import { Members } from "./members.js";
import { Rights } from "./rights.js";

/** The hub's interface for administration, as one room of an account has it. */
class Office {
  #session;
  #room;

  constructor(session, room) {
    this.#session = session;
    this.#room = room;
  }

  room() {
    return this.#ask("GET", this.#ofRoom());
  }

  setRoom(fields, tag) {
    return this.#ask("PATCH", this.#ofRoom(), fields, tag);
  }

  members(contains, limit) {
    return this.#ask("GET", `${this.#ofRoom()}/members?${new URLSearchParams({ contains, limit })}`);
  }

  setMember(name, fields, tag) {
    return this.#ask("PATCH", `members/${name}`, fields, tag);
  }

  removeMember(name) {
    return this.#ask("DELETE", `members/${name}`);
  }

  revoke(name, fingerprint = null) {
    return this.#ask("DELETE", `members/${name}/credentials${fingerprint === null ? "" : `/${fingerprint}`}`);
  }

  grant(grant) {
    return this.#ask("POST", "grants", { ...grant, room: this.#room });
  }

  ungrant(grant) {
    return this.#ask("POST", "ungrant", { ...grant, room: this.#room });
  }

  audit(asked) {
    return this.#ask("GET", `audit?${new URLSearchParams(asked)}`);
  }

  #ofRoom() {
    return `rooms/${this.#room}`;
  }

  async #ask(method, path, body, tag) {
    const headers = { ...this.#session.headers };
    if (body !== undefined) headers["content-type"] = "application/json";
    if (tag !== undefined) headers["if-match"] = `"${tag}"`;
    const url = `/api/admin/v1/accounts/${this.#session.account}/${path}`;
    const sent = { method, headers, cache: "no-store", body: body && JSON.stringify(body) };
    const answer = await fetch(url, sent).catch(() => {
      throw new Refused({ code: "unreachable", what: "the hub is not reached", want: "to try again" });
    });
    const said = await answer.json().catch(() => ({}));
    if (answer.ok) return said;
    throw new Refused(said.error ?? { code: "unreachable", what: `the hub answers ${answer.status}` });
  }
}

export class Administration {
  #section;
  #note;
  #said;
  #parts;
  #members;
  #audit;
  #entered = null;
  #loading = false;
  #isShown = false;

  /** `named` is told who clients are, and `enter` is asked to go into a room. */
  constructor(section, { named, enter }) {
    this.#section = section;
    const part = (name) => section.querySelector(`[data-part="${name}"]`);
    [this.#note, this.#said] = [part("note"), part("said")];
    const again = () => this.load();
    this.#members = new Members(part("members"), named);
    this.#audit = new AuditLog(part("audit"));
    this.#parts = [new Configuration(part("configuration"), again, enter), new Rights(part("rights"), again)];
  }

  /** A room of a session; whether it is this one's to look after, presence says. */
  enter(session, room) {
    this.#entered = new Office(session, room);
    this.#isShown = false;
    this.#section.hidden = true;
    for (const details of this.#section.querySelectorAll("details")) details.open = false;
  }

  leave() {
    this.#entered = null;
    this.#section.hidden = true;
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
    if (!office || this.#loading) return;
    this.#loading = true;
    try {
      const answer = await office.room();
      if (office !== this.#entered || isEdited()) return;
      write(this.#said, "");
      write(this.#note, answer.account ? "you administer the account" : "you look after this room");
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
      this.#loading = false;
    }
  }
}
