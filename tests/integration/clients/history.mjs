// Lines of a history, as the ledger reads them: one JSON object per line on standard output.

import { createHash } from "node:crypto";
import { createRequire } from "node:module";
import { join } from "node:path";

/** What the test asks for: one JSON object, the only argument. */
export const asked = () => JSON.parse(process.argv[2]);

/** A package from the folder that `tests/install-tools` filled. */
export const need = createRequire(join(process.env.RISER_NODE_TOOLS, "package.json"));

export const say = (ev, fields) => process.stdout.write(JSON.stringify({ ev, ...fields }) + "\n");

export const note = (text) => process.stderr.write(text + "\n");

export const digest = (bytes) => createHash("sha256").update(bytes).digest("hex").slice(0, 16);

/** Publication n of a stream, padded to about `size` bytes, the same bytes each time. */
export function payload(stream, n, size = 150) {
  const pad = createHash("sha256").update(`${stream}/${n}/`).digest("hex").repeat(Math.floor(size / 64) + 1);
  const bare = JSON.stringify({ stream, n, pad: "" });
  return Buffer.from(JSON.stringify({ stream, n, pad: pad.slice(0, Math.max(0, size - bare.length)) }));
}

/** Enters one delivery; what is not one of a stream's publications is entered as a mark. */
export function delivered(reader, bytes, pos) {
  let body;
  try {
    body = JSON.parse(bytes.toString());
  } catch {
    body = undefined;
  }
  if (typeof body?.stream !== "string" || typeof body?.n !== "number") {
    say("mark", { what: `${reader} got ${bytes.toString().slice(0, 200)}` });
    return;
  }
  say("delivered", { reader, stream: body.stream, n: body.n, digest: digest(bytes), ...(pos ? { pos } : {}) });
}

/** A client lives as long as its standard input is open, so that none outlives a killed test. */
export function endWithTheTest() {
  process.stdin.on("end", () => process.exit(0));
  process.stdin.resume();
}
