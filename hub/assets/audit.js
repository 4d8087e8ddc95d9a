// The account's audit log, for who administers the account: who did what, from where, when, and with which result; the
// newest first, filtered by a text, and page by page into the past.

import { made, reason } from "./element.js";

const PAGE = 50;

export class AuditLog {
  #details;
  #list;
  #form;
  #earlier;
  #said;
  #office = null;

  constructor(details) {
    this.#details = details;
    const part = (name) => details.querySelector(`[data-part="${name}"]`);
    [this.#list, this.#form, this.#earlier, this.#said] = ["list", "form", "earlier", "form-said"].map(part);
    details.addEventListener("toggle", () => this.load());
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.load();
    });
    this.#earlier.addEventListener("click", () => this.#more(this.#list.lastElementChild?.dataset.n));
  }

  /** As who administers the account; null for nobody. */
  enter(office) {
    this.#office = office;
    this.#details.hidden = office === null;
    this.load();
  }

  leave() {
    this.enter(null);
    this.#list.replaceChildren();
    this.#form.reset();
    this.#said.textContent = "";
  }

  /** The newest lines. */
  load() {
    if (this.#office && this.#details.open) this.#more();
  }

  async #more(before) {
    const office = this.#office;
    this.#earlier.disabled = true;
    this.#said.textContent = "";
    try {
      const contains = this.#form.elements.contains.value.trim();
      const asked = { limit: PAGE, ...(contains && { contains }), ...(before && { before }) };
      const { lines } = await office.audit(asked);
      if (office !== this.#office) return;
      const items = lines.map(line);
      if (before) this.#list.append(...items);
      else this.#list.replaceChildren(...items);
      this.#earlier.hidden = lines.length < PAGE;
      if (!before && lines.length === 0) this.#said.textContent = "Nothing that is written down contains that.";
    } catch (error) {
      if (office === this.#office) this.#said.textContent = reason(error);
    } finally {
      this.#earlier.disabled = false;
    }
  }
}

function line({ n, at, who, from, what, of, result, count = 1 }) {
  const time = made("time", { dateTime: new Date(at).toISOString(), textContent: new Date(at).toLocaleString() });
  const did = [who || "somebody", from && `from ${from}`].filter(Boolean).join(" ");
  const deed = [what, of].filter(Boolean).join(": ");
  const times = count > 1 ? `, ${count} times` : "";
  const text = made("p", {}, made("strong", { textContent: did }), ` ${deed}`, made("span", { className: "note", textContent: ` ${result}${times}` }));
  return made("li", { dataset: { n } }, time, text);
}
