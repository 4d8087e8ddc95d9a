// What a room is: a form over its configuration, with its gate as an ordered list. Only what was edited is sent, and with
// the tag of what was looked at.

import { finalButton, made, reason } from "./element.js";

/** For who administers the account. */
const THE_ACCOUNTS = ["name", "archive", "linked", "down", "quota.messages", "quota.bytes", "quota.every", "quota.user_messages", "quota.user_bytes", "quota.connections", "quota.channels", "quota.subscriptions"];
const NUMBERS = ["retention.count", "quota.messages", "quota.user_messages", "quota.connections", "quota.channels", "quota.subscriptions"];
const TABLES = ["retention", "quota"];
const TEXTS = ["retention.bytes", "retention.age", "quota.bytes", "quota.user_bytes", "quota.every"];

export class Configuration {
  #form;
  #stages;
  #said;
  #remove;
  #office = null;
  #tag = null;
  /** As it was looked at, by field. */
  #before = {};

  /**
   * `again` looks at the room once more; `enter` goes into it again, by its name: another gate asks everybody anew; `gone` is
   * told that there is no such room any more.
   */
  constructor(details, again, enter, gone) {
    const part = (name) => details.querySelector(`[data-part="${name}"]`);
    [this.#form, this.#stages, this.#said] = ["form", "stages", "form-said"].map(part);
    part("stage").addEventListener("click", () => {
      const stage = this.#stage("");
      this.#stages.append(stage);
      this.#settle();
      stage.querySelector("input").focus();
    });
    this.#remove = finalButton("Remove the room", "Remove the room", async () => {
      const office = this.#office;
      await office.removeRoom(this.#tag);
      if (office === this.#office) gone();
    }, this.#said);
    part("remove").append(this.#remove);
    part("again").addEventListener("click", () => {
      this.#said.textContent = "";
      again();
    });
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#save(again, enter);
    });
  }

  get isEdited() {
    return Object.keys(this.#edited()).length > 0;
  }

  show(office, { room, tag, account }) {
    [this.#office, this.#tag] = [office, tag];
    const fields = this.#form.elements;
    const value = (path) => path.split(".").reduce((inner, key) => inner?.[key], room);
    for (const path of [...NUMBERS, ...TEXTS]) fields[path].value = value(path) ?? "";
    fields.name.value = room.name;
    fields.kind.value = room.kind ?? "bus";
    fields.history.value = room.history;
    fields.archive.checked = room.archive ?? false;
    fields.linked.checked = room.linked;
    fields.down.checked = room.down;
    fields.ready.value = (room.ready ?? []).join(", ");
    fields.schema.value = typeof room.schema === "object" ? JSON.stringify(room.schema, null, 1) : (room.schema ?? "");
    for (const path of THE_ACCOUNTS) fields[path].disabled = !account;
    this.#remove.hidden = !account;
    this.#stages.replaceChildren(...(room.gate ?? []).map((stage) => this.#stage(typeof stage === "string" ? stage : JSON.stringify(stage))));
    this.#settle();
    this.#before = this.#read();
  }

  leave() {
    [this.#office, this.#tag] = [null, null];
    this.#form.reset();
    this.#stages.replaceChildren();
    this.#said.textContent = "";
    this.#before = this.#read();
  }

  async #save(again, enter) {
    const said = this.#said;
    const fields = this.#edited();
    if (Object.keys(fields).length === 0) {
      said.textContent = "Nothing was edited.";
      return;
    }
    const submit = this.#form.querySelector('[type="submit"]');
    submit.disabled = true;
    said.textContent = "";
    const office = this.#office;
    try {
      await office.setRoom(fields, this.#tag);
      if (office !== this.#office) return;
      if ("gate" in fields || "name" in fields) return enter(this.#form.elements.name.value);
      await again();
      said.textContent = "Saved.";
    } catch (error) {
      if (office === this.#office) said.textContent = reason(error);
    } finally {
      submit.disabled = false;
    }
  }

  /** The fields that are not as they were looked at; null takes one away. */
  #edited() {
    const now = this.#read();
    const isOther = ([key, value]) => JSON.stringify(value) !== JSON.stringify(this.#before[key]);
    // Of a table what is not named stays.
    const over = (value, before) => value && { ...Object.fromEntries(Object.keys(before ?? {}).map((key) => [key, null])), ...value };
    const said = ([key, value]) => [key, TABLES.includes(key) ? over(value, this.#before[key]) : value];
    return Object.fromEntries(Object.entries(now).filter(isOther).map(said));
  }

  #read() {
    const fields = this.#form.elements;
    const table = (name) => {
      const own = [...NUMBERS, ...TEXTS].filter((path) => path.startsWith(`${name}.`) && fields[path].value.trim() !== "");
      const said = own.map((path) => [path.slice(name.length + 1), NUMBERS.includes(path) ? Number(fields[path].value) : fields[path].value.trim()]);
      return said.length === 0 ? null : Object.fromEntries(said);
    };
    const list = (all) => (all.length === 0 ? null : all);
    return {
      name: fields.name.value,
      kind: fields.kind.value,
      history: fields.history.value,
      retention: table("retention"),
      quota: table("quota"),
      archive: fields.archive.checked,
      linked: fields.linked.checked,
      down: fields.down.checked,
      ready: list(fields.ready.value.split(/[\s,]+/).filter(Boolean)),
      schema: fields.schema.value.trim() || null,
      gate: list([...this.#stages.querySelectorAll("input")].map(({ value }) => stageOf(value)).filter((stage) => stage !== "")),
    };
  }

  #stage(text) {
    const input = made("input", { value: text, autocomplete: "off", autocapitalize: "none", spellcheck: false, list: "acceptors" });
    const item = made("li", {}, input);
    const move = (label, to) => {
      const pressed = made("button", { type: "button", textContent: label, dataset: { move: label } });
      pressed.addEventListener("click", () => {
        to();
        this.#settle();
        // It may have come to the end of the list.
        (pressed.disabled ? item.querySelector("button:not(:disabled)") : pressed)?.focus();
      });
      return pressed;
    };
    const earlier = move("Earlier", () => item.previousElementSibling?.before(item));
    const later = move("Later", () => item.nextElementSibling?.after(item));
    const remove = made("button", { type: "button", textContent: "Remove" });
    remove.addEventListener("click", () => {
      const next = item.nextElementSibling ?? item.previousElementSibling;
      item.remove();
      this.#settle();
      (next?.querySelector("input") ?? this.#form.querySelector('[data-part="stage"]')).focus();
    });
    item.append(earlier, later, remove);
    return item;
  }

  /** What each stage and its buttons are called, and which of these make sense. */
  #settle() {
    const all = [...this.#stages.children];
    all.forEach((item, index) => {
      const [input, earlier, later, remove] = item.children;
      input.setAttribute("aria-label", `Stage ${index + 1} of the gate`);
      for (const pressed of [earlier, later, remove]) pressed.setAttribute("aria-label", `${pressed.textContent}: stage ${index + 1}`);
      earlier.disabled = index === 0;
      later.disabled = index === all.length - 1;
    });
  }
}

/** A stage as a person writes it: one word, or JSON as in the configuration. */
function stageOf(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text.trim();
  }
}
