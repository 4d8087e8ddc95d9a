// An OpenID provider (oidc-provider, certified by the OpenID Foundation) that a test turns on and off and whose keys it
// changes. Asked: port (of the provider), control (port of the test's own), audience, clients (names; each gets tokens
// in its own name), and perhaps pages (client_id, redirect and perhaps secret of each hub whose page sends people here, where
// they say who they are). The control port answers /token?client=ann&alg=ES256, /rotate, /down and /up.

import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import { pathToFileURL } from "node:url";
import { asked, endWithTheTest, need, note, say } from "./history.mjs";

const want = asked();
endWithTheTest();
const { default: Provider } = await import(pathToFileURL(need.resolve("oidc-provider")));

const issuer = `http://127.0.0.1:${want.port}`;
const SECRET = "a secret between the provider and its clients";
let generation = 0;
let server;

/** New keys of every kind, under new names. */
function keys() {
  generation += 1;
  const kinds = [
    ["EdDSA", "ed25519", {}],
    ["ES256", "ec", { namedCurve: "P-256" }],
    ["RS256", "rsa", { modulusLength: 2048 }],
  ];
  return kinds.map(([alg, kind, options]) => {
    const jwk = generateKeyPairSync(kind, options).privateKey.export({ format: "jwk" });
    return { ...jwk, alg, use: "sig", kid: `${alg}-${generation}` };
  });
}

let current = keys();

const pages = (want.pages ?? []).map(({ client_id, redirect, secret }) => ({
  client_id,
  redirect_uris: [redirect],
  grant_types: ["authorization_code"],
  response_types: ["code"],
  id_token_signed_response_alg: "ES256",
  ...(secret ? { client_secret: secret } : { token_endpoint_auth_method: "none" }),
}));

async function up() {
  const provider = new Provider(issuer, {
    jwks: { keys: current },
    clients: pages.concat(want.clients.map((client_id) => ({
      client_id,
      client_secret: SECRET,
      grant_types: ["client_credentials"],
      redirect_uris: [],
      response_types: [],
    }))),
    findAccount: (_, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
    features: {
      devInteractions: { enabled: pages.length > 0 },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        useGrantedResource: () => true,
        getResourceServerInfo: (_, resource) => {
          const url = new URL(resource);
          const audience = url.searchParams.get("audience");
          const alg = url.searchParams.get("alg");
          return { scope: "", audience, accessTokenFormat: "jwt", jwt: { sign: { alg } } };
        },
      },
    },
  });
  server = await new Promise((resolve) => {
    const listening = provider.listen(want.port, "127.0.0.1", () => resolve(listening));
  });
}

async function down() {
  server?.closeAllConnections();
  await new Promise((resolve) => (server ? server.close(resolve) : resolve()));
  server = undefined;
}

async function token({ client, alg, audience }) {
  const resource = `https://riser.example/?${new URLSearchParams({ alg, audience: audience ?? want.audience })}`;
  const response = await fetch(`${issuer}/token`, {
    method: "POST",
    headers: { authorization: `Basic ${btoa(`${encodeURIComponent(client)}:${encodeURIComponent(SECRET)}`)}` },
    body: new URLSearchParams({ grant_type: "client_credentials", resource }),
  });
  const answer = await response.json();
  if (!answer.access_token) throw new Error(JSON.stringify(answer));
  return answer.access_token;
}

const does = {
  "/token": (query) => token(query),
  "/rotate": async () => {
    current = keys();
    await down();
    await up();
  },
  "/down": down,
  "/up": up,
};

await up();
createServer(async (request, response) => {
  const url = new URL(request.url, "http://control");
  try {
    response.end((await does[url.pathname](Object.fromEntries(url.searchParams))) ?? "done");
  } catch (error) {
    note(error.stack);
    response.writeHead(500).end();
  }
}).listen(want.control, "127.0.0.1", () => say("mark", { what: "provider is up" }));
