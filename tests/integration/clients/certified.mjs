// Opens secure WebSockets with client certificates, one after another, and marks who each is let in as, or what it is told.
// Asked: ca (a file), visits: [{ name, url, cert, key, credential }].

import { readFileSync } from "node:fs";
import { asked, endWithTheTest, need, say } from "./history.mjs";

const want = asked();
const { WebSocket } = need("ws");
endWithTheTest();

const file = (path) => path && readFileSync(path);

const visit = ({ url, cert, key, credential }) =>
  new Promise((resolve) => {
    const options = { ca: file(want.ca), cert: file(cert), key: file(key), handshakeTimeout: 20_000 };
    const socket = new WebSocket(url, "riser.v1.json", options);
    socket.on("open", () => socket.send(JSON.stringify({ op: "hello", id: 1, events: false, credential: credential ?? undefined })));
    socket.on("error", () => resolve("turned away"));
    socket.on("close", () => resolve("closed"));
    socket.on("message", (text) => {
      const { ok, error } = JSON.parse(text);
      if (!ok && !error) return; // It says goodbye.
      resolve(ok ? ok.name : error.code);
      socket.close();
    });
  });

for (const one of want.visits) say("mark", { what: `${one.name}: ${await visit(one)}` });
// What waits for a pipe would be cut off.
process.stdout.write("", () => process.exit(0));
