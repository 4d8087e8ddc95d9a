// Who clients are: by those who were seen to come and go, and asked of the hub for everybody else who had something to
// say in the room. Who may not know keeps seeing a number.

const ASKED_MAX = 100;
/** What is wanted within this time is asked for together. */
const TOGETHER_MS = 50;

export class Names {
  #known = new Map();
  /** Asked for already in this room, whatever came of it. */
  #asked = new Set();
  #wanted = new Set();
  #learned;
  #session = null;
  #room = null;

  /** `learned` is told of each client that somebody wanted to know of. */
  constructor(learned) {
    this.#learned = learned;
  }

  /** A room, through which is asked. */
  enter(session, room) {
    [this.#session, this.#room] = [session, room];
    this.#asked.clear();
    this.#wanted.clear();
  }

  /** A client's name, or the beginning of its id until that is known. */
  of(client) {
    const name = this.#known.get(client);
    if (name === undefined) this.#want(client);
    return name ?? client.slice(0, 8);
  }

  learn(client, name) {
    if (this.#known.get(client) === name) return;
    this.#known.set(client, name);
    if (this.#asked.has(client)) this.#learned(client);
  }

  #want(client) {
    if (this.#asked.has(client)) return;
    this.#asked.add(client);
    this.#wanted.add(client);
    if (this.#wanted.size === 1) setTimeout(() => this.#ask(), TOGETHER_MS);
  }

  async #ask() {
    const clients = [...this.#wanted].slice(0, ASKED_MAX);
    for (const client of clients) this.#wanted.delete(client);
    if (this.#wanted.size > 0) setTimeout(() => this.#ask(), TOGETHER_MS);
    if (clients.length === 0) return;
    try {
      const { headers } = this.#session;
      const answer = await fetch(`/api/rooms/${this.#room}/names?clients=${clients.join()}`, { headers, cache: "no-store" });
      if (!answer.ok) return;
      const { names } = await answer.json();
      for (const [client, name] of Object.entries(names)) this.learn(client, name);
    } catch {
      // Numbers are shown instead.
    }
  }
}
