// The users and clients of a room's account: who each is and which role it has, in every room and in this one. Who looks
// after the room changes the roles in it; who administers the account changes the others and groups here too, and adds and
// revokes credentials: passwords, tokens, keys, and names in certificates. A secret that the hub made is shown once.

import { button, finalButton, made, onSubmit, reason, secretOnce } from "./element.js";

const SHOWN_MAX = 100;
const ROLES = ["", "owner", "admin", "member", "reader", "observer", "writer", "device"];
/** Those for which nothing has to be given are made by the hub, and replaced by others that it makes. */
const MADE = ["token", "password", "secret"];
const KINDS = ["token", "password", "key", "secret", "certificate"];

export class Members {
  #details;
  #list;
  #form;
  #note;
  #said;
  #named;
  #changed;
  #once;
  #office = null;
  #isAccounts = false;

  /** `named` is told who clients are, and `changed` that a role in the room is another one. */
  constructor(details, named, changed) {
    this.#details = details;
    const part = (name) => details.querySelector(`[data-part="${name}"]`);
    [this.#list, this.#form, this.#note, this.#said] = ["list", "form", "note", "form-said"].map(part);
    [this.#named, this.#changed] = [named, changed];
    details.addEventListener("toggle", () => this.load());
    this.#invites(part("invite-form"), part("invited"));
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      // What was edited is given up: it is looked at anew.
      this.#list.replaceChildren();
      this.load();
    });
  }

  /** Rights in this room for somebody; who administers the account invites whoever is not in it yet. */
  #invites(form, once) {
    this.#once = once;
    onSubmit(form, () => this.#office, async (office) => {
      const { guest, right } = form.elements;
      const { name, token } = await office.invite(guest.value, right.value.split(" "));
      if (office !== this.#office) return;
      form.reset();
      once.append(token ? secretOnce(`The token of ${name}`, token) : made("p", { role: "status", textContent: `${name} is invited.` }));
      await this.load();
      await this.#changed();
    });
  }

  /** As who administers the account, or who looks after a room of it. */
  enter(office, isAccounts) {
    [this.#office, this.#isAccounts] = [office, isAccounts];
    this.load();
  }

  leave() {
    this.#office = null;
    this.#list.replaceChildren();
    this.#once.replaceChildren();
    this.#form.reset();
    [this.#note.textContent, this.#said.textContent] = ["", ""];
  }

  async load() {
    const office = this.#office;
    if (!office || !this.#details.open) return;
    try {
      const { members, more } = await office.members(this.#form.elements.contains.value.trim(), SHOWN_MAX);
      if (office !== this.#office) return;
      this.#named(members);
      this.#note.textContent = `${members.length}${more > 0 ? `, and ${more} more` : ""}`;
      // Not from under who is editing one.
      const edited = [...this.#list.children].filter((item) => item.contains(document.activeElement) || item.dataset.edited);
      const kept = new Map(edited.map((item) => [item.dataset.id, item]));
      const items = members.map((member) => kept.get(member.id) ?? this.#item(member));
      if (kept.size === 0) this.#list.replaceChildren(...items);
      else this.#mend(items);
    } catch (error) {
      if (office === this.#office) this.#said.textContent = reason(error);
    }
  }

  /** The same list without touching what stays: an element that is moved loses the focus. */
  #mend(items) {
    for (const item of [...this.#list.children]) if (!items.includes(item)) item.remove();
    items.forEach((item, index) => {
      if (this.#list.children[index] !== item) this.#list.insertBefore(item, this.#list.children[index] ?? null);
    });
  }

  #item({ name, id, kind, role, room_role: inRoom = null, groups, tag, credentials, clients = [] }) {
    const said = made("p", { className: "error", role: "alert" });
    const item = made("li", { dataset: { id, name } }, made("h3", { textContent: name }));
    const groupText = groups.length === 0 ? "" : `, in ${groups.join(", ")}`;
    const inRoomText = inRoom === null ? "" : `, ${inRoom} in this room`;
    item.append(made("p", { textContent: `${kind}, ${role ?? "no role"}${inRoomText}${groupText}` }));
    const office = this.#office;
    const again = async () => {
      delete item.dataset.edited;
      item.remove();
      await this.load();
      const now = [...this.#list.children].find(({ dataset }) => dataset.id === id);
      (now?.querySelector("select") ?? this.#form.elements.contains).focus();
    };
    item.append(this.#roomRoleForm({ id, name, inRoom }, item, said, again));
    if (!this.#isAccounts) {
      item.append(said);
      return item;
    }
    item.append(this.#roleForm({ id, name, role, groups, tag }, item, said, again));
    const list = made("ul", { "aria-label": `Credentials of ${name}` });
    for (const { kind: of, fingerprint } of credentials) {
      const revoke = finalButton("Revoke", `Revoke ${of} ${fingerprint} of ${name}`, async () => {
        await office.revoke(id, fingerprint);
        await again();
      }, said);
      const called = made("span", { textContent: `${of.replaceAll("_", " ")} ${fingerprint}` });
      if (!MADE.includes(of)) {
        list.append(made("li", {}, called, " ", revoke));
        continue;
      }
      const replace = finalButton("Replace", `Replace ${of} ${fingerprint} of ${name}`, async () => {
        // It stays until what is made is put away, whatever else changes.
        item.dataset.edited = "true";
        const { value } = await office.rotate(id, fingerprint).catch((error) => {
          delete item.dataset.edited;
          throw error;
        });
        if (office !== this.#office) return;
        list.after(secretOnce(`The new ${of.replaceAll("_", " ")} of ${name}`, value, again));
      }, said);
      list.append(made("li", {}, called, " ", replace, " ", revoke));
    }
    if (credentials.length > 0) item.append(list);
    if (clients.length > 0) item.append(this.#clientList({ id, name, clients }, said, again));
    item.append(this.#credentialForm({ id, name, kind }, item, said, again));
    const all = finalButton("Revoke all", `Revoke all credentials of ${name}`, async () => {
      const { still = [] } = await office.revoke(id);
      await again();
      if (still.length > 0) this.#said.textContent = `${name} is still let in by ${still.join(" and ")}.`;
    }, said);
    all.disabled = credentials.length === 0;
    const remove = finalButton("Remove", `Remove ${name}`, async () => {
      await office.removeMember(id, tag);
      await again();
    }, said);
    item.append(made("p", { className: "decide" }, all, remove), said);
    return item;
  }

  /** The browsers and programs by which somebody comes, each with a way to have it gone. */
  #clientList({ id, name, clients }, said, again) {
    const office = this.#office;
    const items = clients.map((client) => {
      const remove = finalButton("Remove", `Remove the browser or program ${client} of ${name}`, async () => {
        await office.removeClient(id, client);
        await again();
      }, said);
      return made("li", {}, made("span", { textContent: `browser or program ${client}` }), " ", remove);
    });
    return made("ul", { "aria-label": `Browsers and programs of ${name}` }, ...items);
  }

  #credentialForm({ id, name, kind }, item, said, again) {
    const office = this.#office;
    const kinds = kind === "client" ? [...KINDS, "edge_key"] : KINDS;
    const chosen = made("select", {}, ...kinds.map((one) => new Option(one.replaceAll("_", " "), one)));
    const value = made("input", { autocomplete: "off", autocapitalize: "none", spellcheck: false });
    const add = button("Add", `Add a credential of ${name}`, async () => {
      const { kind: of, value: secret } = await office.addCredential(id, chosen.value, value.value.trim());
      if (office !== this.#office) return;
      if (secret === undefined || secret === null) return again();
      // It stays until it is put away, whatever else changes.
      item.dataset.edited = "true";
      form.after(secretOnce(`The ${of.replaceAll("_", " ")} of ${name}`, secret, again));
    }, said);
    const form = made("div", { className: "member-role" }, made("label", {}, "Credential ", chosen), made("label", {}, "Value, if it is not to be made ", value), add);
    form.addEventListener("input", () => (item.dataset.edited = "true"));
    return form;
  }

  #roomRoleForm({ id, name, inRoom }, item, said, again) {
    const office = this.#office;
    const chosen = made("select", {}, ...ROLES.map((one) => new Option(one || "none", one, false, one === (inRoom ?? ""))));
    const set = button("Set", `Set the role of ${name} in this room`, async () => {
      if (chosen.value !== (inRoom ?? "")) await office.setRoomRole(id, chosen.value || null);
      await again();
      await this.#changed();
    }, said);
    const form = made("div", { className: "member-role" }, made("label", {}, "Role in this room ", chosen), set);
    form.addEventListener("input", () => (item.dataset.edited = "true"));
    return form;
  }

  #roleForm({ id, name, role, groups, tag }, item, said, again) {
    const office = this.#office;
    const chosen = made("select", {}, ...ROLES.map((one) => new Option(one || "none", one, false, one === (role ?? ""))));
    const inGroups = made("input", { value: groups.join(", "), autocomplete: "off", autocapitalize: "none", spellcheck: false });
    const set = button("Set", `Set role and groups of ${name}`, async () => {
      const list = inGroups.value.split(/[\s,@]+/).filter(Boolean);
      const fields = {};
      if (chosen.value !== (role ?? "")) fields.role = chosen.value || null;
      if (list.join() !== groups.join()) fields.groups = list;
      await office.setMember(id, fields, tag);
      await again();
    }, said);
    const form = made("div", { className: "member-role" }, made("label", {}, "Role in every room ", chosen), made("label", {}, "Groups ", inGroups), set);
    form.addEventListener("input", () => (item.dataset.edited = "true"));
    return form;
  }
}
