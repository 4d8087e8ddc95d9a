// The hub's interface for administration, as the page asks it below /api/admin: of an account, or of one room of it. The hub
// decides what who asks may see and change; what it says is wrong is thrown as it says it.

import { Refused } from "./door.js";

export class Office {
  #session;
  #room;
  /** The room's, once it was looked at: another one may have its name by now. */
  #id = null;

  /** Of a room, or of the account alone. */
  constructor(session, room = null) {
    this.#session = session;
    this.#room = room;
  }

  /** Whether it is that room's, and of who is signed in there. */
  isOf(session, room) {
    return this.#session === session && this.#room === room;
  }

  async room() {
    const answer = await this.#ask("GET", this.#ofRoom());
    this.#id = answer.room.id;
    return answer;
  }

  setRoom(fields, tag) {
    return this.#ask("PATCH", this.#ofRoom(), fields, tag);
  }

  makeRoom(fields) {
    return this.#ask("POST", "rooms", fields);
  }

  removeRoom(tag) {
    return this.#ask("DELETE", this.#ofRoom(), undefined, tag);
  }

  /** Who is not in the account is made, with a token that is in the answer and nowhere else ever. */
  invite(name, right) {
    return this.#ask("POST", `${this.#ofRoom()}/invitations`, { name, right });
  }

  /** Of the account: who is in, and who stands at its gates. */
  connections() {
    return this.#ask("GET", "connections");
  }

  /** `room` is where it knocked when that was decided, if at one. */
  decide(connection, admit, room) {
    return this.#ask("POST", `connections/${connection}/decide`, { admit, room });
  }

  closeConnection(connection) {
    return this.#ask("DELETE", `connections/${connection}`);
  }

  /** To all devices of the room: answered when it is on the hub's disk. */
  broadcast(said) {
    return this.#ask("POST", `${this.#ofRoom()}/broadcast`, said);
  }

  /** Which devices received it. */
  received(id, after = 0) {
    return this.#ask("GET", `${this.#ofRoom()}/broadcasts/${id}?after=${after}`);
  }

  members(contains, limit) {
    return this.#ask("GET", `${this.#ofRoom()}/members?${new URLSearchParams({ contains, limit })}`);
  }

  /** Of a user or client by its id, of a group (`@ops`), or of everybody (`*`); null is none. */
  setRoomRole(to, role, tag) {
    return this.#ask("PUT", `${this.#ofRoom()}/roles`, { to, role }, tag);
  }

  /** A user, or a client. */
  makeMember(kind, fields) {
    return this.#ask("POST", `${kind}s`, fields);
  }

  // Whom by the id: a name may be somebody else's by now.
  setMember(id, fields, tag) {
    return this.#ask("PATCH", `members/${id}`, fields, tag);
  }

  removeMember(id, tag) {
    return this.#ask("DELETE", `members/${id}`, undefined, tag);
  }

  /** A browser or program by which a user comes. */
  removeClient(id, client) {
    return this.#ask("DELETE", `members/${id}/clients/${client}`);
  }

  /** Its secret, if the hub makes it, is in the answer and nowhere else ever. */
  addCredential(id, kind, value = "") {
    return this.#ask("POST", `members/${id}/credentials`, value === "" ? { kind } : { kind, value });
  }

  /** Another one of the same kind in its place, which the hub makes. */
  rotate(id, fingerprint) {
    return this.#ask("POST", `members/${id}/credentials/${fingerprint}/rotate`, {});
  }

  revoke(id, fingerprint = null) {
    return this.#ask("DELETE", `members/${id}/credentials${fingerprint === null ? "" : `/${fingerprint}`}`);
  }

  grant(grant, tag) {
    return this.#ask("POST", "grants", { ...grant, room: this.#id }, tag);
  }

  ungrant(grant, tag) {
    return this.#ask("POST", "ungrant", { ...grant, room: this.#id }, tag);
  }

  audit(asked) {
    return this.#ask("GET", `audit?${new URLSearchParams(asked)}`);
  }

  #ofRoom() {
    return `rooms/${this.#id ?? this.#room}`;
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
