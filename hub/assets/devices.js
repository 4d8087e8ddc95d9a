// The devices that a room's admin reaches: clients of the account that prove themselves with a key. A broadcast is one request
// of the hub, which publishes to each at its own address, and the table says what became of it at each of them.

import { made, reason, write } from "./element.js";
import { Office } from "./office.js";

/** The largest payload. The hub says so too; a larger file is not read for that. */
const BYTES_MAX = 262_144;

export class Devices {
  #section;
  #form;
  #rows;
  #note;
  #said;
  #room = null;
  #office = null;
  /** The id of the last broadcast, and whether what became of it is asked for, or is to be asked for again. */
  #last = null;
  #loading = false;
  #again = false;

  constructor(section) {
    this.#section = section;
    const part = (name) => section.querySelector(`[data-part="${name}"]`);
    [this.#form, this.#rows, this.#note, this.#said] = ["form", "rows", "note", "said"].map(part);
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#say();
    });
  }

  /** A room of a session whose devices one may look after. Where only the connection is another one, what was said stays. */
  enter(session, name, room) {
    this.#room = room;
    if (this.#office?.isOf(session, name)) return;
    this.#office = new Office(session, name);
    this.#last = null;
    this.#section.hidden = true;
    this.#rows.replaceChildren();
    write(this.#note, "");
    write(this.#said, "");
  }

  async update({ administers = false }) {
    const room = this.#room;
    if (!room || !administers) return;
    try {
      const { devices, more = 0 } = await room.devices();
      if (room !== this.#room) return;
      this.#section.hidden = devices.length === 0;
      for (const { client, name, connections } of devices) {
        const row = this.#row(client, name);
        write(row.children[1], connections === 0 ? "away" : connections === 1 ? "connected" : `${connections} connections`);
      }
      this.#section.querySelector('[data-part="more"]').hidden = more === 0;
      write(this.#section.querySelector('[data-part="more"]'), `and ${more} more`);
    } catch {
      // The connection says for itself what became of it.
    }
    if (this.#last !== null) this.#load();
  }

  /** What the system says became of a publication: of one of the last broadcast, it is looked at again. */
  hear({ publish_id }) {
    if (this.#last !== null && publish_id?.producer === this.#last) this.#load();
  }

  #row(client, name) {
    const known = [...this.#rows.children].find(({ dataset }) => dataset.client === client);
    if (known) return known;
    const row = made("tr", { dataset: { client } }, made("th", { scope: "row", textContent: name }), made("td"), made("td"));
    this.#rows.append(row);
    return row;
  }

  async #say() {
    const office = this.#office;
    const { channel, text, file, expires } = this.#form.elements;
    const button = this.#form.querySelector("button");
    button.disabled = true;
    write(this.#note, "");
    try {
      const [chosen] = file.files;
      const payload = chosen ? { data_b64: await base64(chosen) } : { data: text.value };
      const answer = await office.broadcast({ channel: channel.value, ...payload, expires: Number(expires.value) });
      if (office !== this.#office) return;
      this.#last = answer.id;
      for (const row of this.#rows.children) write(row.children[2], "");
      this.#show(answer);
      // What was told before it was known whose it is.
      this.#load();
    } catch (error) {
      if (office === this.#office) write(this.#note, reason(error));
    } finally {
      button.disabled = false;
    }
  }

  async #load() {
    this.#again = this.#loading;
    if (this.#loading) return;
    this.#loading = true;
    const [office, id] = [this.#office, this.#last];
    try {
      for (let after = 0; after !== undefined; ) {
        const answer = await office.received(id, after);
        if (office !== this.#office || id !== this.#last) break;
        this.#show(answer);
        after = answer.next;
      }
    } catch (error) {
      // A hub that started since has forgotten it; what is shown was so.
      if (error.code === "unknown" && id === this.#last) this.#last = null;
    } finally {
      this.#loading = false;
      if (this.#again && this.#last !== null) this.#load();
    }
  }

  #show({ devices, counts, reached }) {
    const parts = Object.entries(counts).map(([became, count]) => `${count} ${became}`);
    write(this.#said, `To ${devices} ${devices === 1 ? "device" : "devices"}${devices ? `: ${parts.join(", ")}` : ""}.`);
    for (const { client, name, became, code } of reached) {
      write(this.#row(client, name).children[2], code ? `${became}: ${code}` : became);
    }
  }
}

async function base64(file) {
  if (file.size > BYTES_MAX) {
    throw { what: `the file has ${file.size} bytes`, want: `a payload of at most ${BYTES_MAX} bytes` };
  }
  const bytes = new Uint8Array(await file.arrayBuffer());
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}
