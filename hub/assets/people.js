// Who is in the room: a person or device with all its connections, where each is and since when. A site that is cut
// off is shown as such: who came and went there since, nobody here knows.

import { duration } from "./series.js";

export class People {
  #list;
  #note;

  constructor(list, note) {
    this.#list = list;
    this.#note = note;
  }

  clear() {
    this.#list.replaceChildren();
    this.#note.textContent = "";
  }

  /** As the hub answers, with its clock. */
  update({ present, more, incomplete }, now) {
    const clients = new Map();
    for (const one of present) {
      const known = clients.get(one.client);
      if (known) known.push(one);
      else clients.set(one.client, [one]);
    }
    const all = [...clients.values()].sort(([one], [other]) => one.name.localeCompare(other.name));
    this.#list.replaceChildren(...all.map((connections) => person(connections, now)));
    const count = present.length + more;
    const known = count === 0 ? "nobody" : `${all.length}${more ? " and more" : ""} with ${count} ${count === 1 ? "connection" : "connections"}`;
    this.#note.textContent = incomplete ? `${known}; the hub keeps no more of those behind edges, some may be missing` : known;
  }
}

function person(connections, now) {
  const item = document.createElement("li");
  const [{ name }] = connections;
  item.dataset.name = name;
  const title = document.createElement("h3");
  title.textContent = name;
  item.append(title);
  for (const { connection, since, behind } of connections) {
    const line = document.createElement("p");
    const where = behind ? `behind ${behind.edge ?? "an edge"}` : "here";
    line.textContent = `${where}, for ${duration(Math.max(0, now - since))}`;
    line.title = `connection ${connection}`;
    if (behind?.cut_off) {
      const cut = document.createElement("span");
      cut.className = "cut";
      cut.textContent = "cut off";
      line.append(" ", cut);
      item.dataset.cut = "";
    }
    item.append(line);
  }
  return item;
}
