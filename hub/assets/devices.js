// The devices that a room's admin reaches: those of the account that prove themselves with a key. A broadcast is one
// publication to each, at its own address, and the table says what became of each of them.

const ORDER = { stored: 0, failed: 1, expired: 2, delivered: 3 };

export class Devices {
  #section;
  #form;
  #rows;
  #note;
  #room = null;
  /** Of the last broadcast: by "producer n" its row's state. */
  #sent = new Map();

  constructor(section) {
    this.#section = section;
    const part = (name) => section.querySelector(`[data-part="${name}"]`);
    [this.#form, this.#rows, this.#note] = ["form", "rows", "note"].map(part);
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#broadcast();
    });
  }

  /** A room whose devices one looks after, or none. */
  enter(room) {
    this.#room = room;
    this.#section.hidden = true;
    this.#rows.replaceChildren();
    this.#sent.clear();
  }

  async update({ administers = false }) {
    const room = this.#room;
    if (!room || !administers) return;
    try {
      const { devices } = await room.devices();
      if (room !== this.#room) return;
      this.#section.hidden = devices.length === 0;
      for (const { client, name, connections } of devices) {
        const row = this.#row(client, name);
        row.children[1].textContent = connections === 0 ? "away" : connections === 1 ? "connected" : `${connections} connections`;
      }
    } catch {
      // The connection says for itself what became of it.
    }
  }

  /** What the system says became of a publication. */
  hear({ type, publish_id, code, to }) {
    const row = publish_id && this.#sent.get(`${publish_id.producer} ${publish_id.n}`);
    if (!row || !(type in ORDER)) return;
    // One place may have given it up where another one had it.
    if (ORDER[row.dataset.outcome] >= ORDER[type]) return;
    row.dataset.outcome = type;
    row.children[2].textContent = type === "failed" ? `failed: ${code}` : type === "delivered" && to ? `delivered to ${to}` : type;
  }

  #row(client, name) {
    const known = [...this.#rows.children].find(({ dataset }) => dataset.client === client);
    if (known) return known;
    const row = document.createElement("tr");
    row.dataset.client = client;
    const title = document.createElement("th");
    title.scope = "row";
    title.textContent = name;
    row.append(title, document.createElement("td"), document.createElement("td"));
    this.#rows.append(row);
    return row;
  }

  async #broadcast() {
    const room = this.#room;
    const { channel, text, file, expires } = this.#form.elements;
    const button = this.#form.querySelector("button");
    button.disabled = true;
    this.#note.textContent = "";
    try {
      const [chosen] = file.files;
      const value = chosen ? new Uint8Array(await chosen.arrayBuffer()) : new TextEncoder().encode(text.value);
      const { devices } = await room.devices();
      const [high, low] = crypto.getRandomValues(new Uint32Array(2));
      const producer = (BigInt(high) << 32n) | BigInt(low);
      this.#sent.clear();
      const messages = devices.map(({ client, name }, index) => {
        const row = this.#row(client, name);
        delete row.dataset.outcome;
        row.children[2].textContent = "on its way";
        this.#sent.set(`${producer} ${index + 1}`, row);
        return { channel: `${client}/${channel.value}`, value, expires: Number(expires.value), id: { producer, n: index + 1 } };
      });
      const receipts = await room.publishMany(messages);
      receipts.forEach(({ error }, index) => {
        const row = this.#sent.get(`${producer} ${index + 1}`);
        if (row.dataset.outcome) return;
        row.dataset.outcome = error ? "failed" : "stored";
        row.children[2].textContent = error ? `refused: ${error.what}` : "stored, not yet there";
      });
    } catch (error) {
      this.#note.textContent = error.what ?? error.message;
    } finally {
      button.disabled = false;
    }
  }
}
