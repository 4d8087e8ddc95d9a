// An agent of the compatibility run on MQTT.js. It is told what to do by one JSON object per line on standard input and
// answers each with one line of the same id; what it is delivered is a line of its own.

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

import { need } from "../history.mjs";

const say = (fields) => process.stdout.write(`${JSON.stringify(fields)}\n`);
const bytesOf = (text) => Buffer.from(text, "base64");
const textOf = (data) => Buffer.from(data).toString("base64");

const NAMES = {
  response_topic: "responseTopic",
  content_type: "contentType",
  format: "payloadFormatIndicator",
  expiry: "messageExpiryInterval",
  alias: "topicAlias",
  delay: "willDelayInterval",
};

class Refused extends Error {}

const propertiesOf = (asked) => {
  const found = {};
  for (const [ours, theirs] of Object.entries(NAMES)) if (ours in asked) found[theirs] = asked[ours];
  if ("format" in asked) found.payloadFormatIndicator = asked.format === 1;
  if ("correlation" in asked) found.correlationData = bytesOf(asked.correlation);
  if ("user" in asked) {
    found.userProperties = {};
    for (const [key, value] of asked.user) (found.userProperties[key] ??= []).push(value);
  }
  return found;
};

const delivered = (topic, payload, packet) => {
  const found = { topic, payload: textOf(payload), qos: packet.qos, retain: packet.retain };
  const properties = packet.properties ?? {};
  for (const [ours, theirs] of Object.entries(NAMES)) if (theirs in properties) found[ours] = properties[theirs];
  if ("format" in found) found.format = Number(found.format);
  if (properties.correlationData) found.correlation = textOf(properties.correlationData);
  if (properties.userProperties) {
    found.user = Object.entries(properties.userProperties).flatMap(([key, values]) =>
      [values].flat().map((value) => [key, value]),
    );
  }
  if (properties.subscriptionIdentifier !== undefined) found.identifiers = [properties.subscriptionIdentifier].flat();
  return found;
};

let client;
let five = false;

/** An answer, or the end of the connection. */
const settle = (answer) =>
  new Promise((done, failed) => {
    client.once("close", () => setTimeout(() => failed(new Refused("closed")), 200));
    answer.then(done, (error) => {
      // What the broker's code is, where it is one.
      failed("code" in error ? new Refused(`${error.code} ${error.message}`) : error);
    });
  });

const operations = {
  connect: (asked) =>
    new Promise((done, failed) => {
      five = asked.version === 5;
      const { will } = asked;
      const protocol = asked.ws ? "ws" : asked.ca ? "mqtts" : "mqtt";
      const properties = { sessionExpiryInterval: asked.expiry ?? 0 };
      if (asked.receive_maximum) properties.receiveMaximum = asked.receive_maximum;
      client = need("mqtt").connect({
        protocol,
        host: asked.host,
        port: asked.port,
        path: asked.ws,
        ca: asked.ca ? readFileSync(asked.ca) : undefined,
        username: asked.user,
        password: asked.password,
        clientId: asked.id,
        protocolVersion: asked.version,
        clean: asked.clean,
        keepalive: asked.keepalive ?? 30,
        reconnectPeriod: 0,
        resubscribe: false,
        will: will && {
          topic: will.topic,
          payload: bytesOf(will.payload),
          qos: will.qos,
          retain: will.retain,
          properties: five ? propertiesOf(will) : undefined,
        },
        properties: five ? properties : undefined,
      });
      let isOver = false;
      client.on("error", (error) => {
        isOver = true;
        failed(new Refused(typeof error.code === "number" ? `${error.code} ${error.message}` : `closed: ${error.message}`));
      });
      client.on("close", () => {
        say({ closed: "closed" });
        setTimeout(() => isOver || failed(new Refused("closed")), 200);
      });
      client.on("disconnect", (packet) => say({ disconnect: packet.reasonCode }));
      client.on("message", (topic, payload, packet) => say({ message: delivered(topic, payload, packet) }));
      client.on("connect", (packet) => {
        isOver = true;
        done({ present: packet.sessionPresent, assigned: packet.properties?.assignedClientIdentifier ?? null });
      });
    }),

  subscribe: (asked) =>
    settle(
      new Promise((done, failed) => {
        const filters = {};
        for (const one of asked.filters) {
          filters[one.filter] = { qos: one.qos };
          if (!five) continue;
          Object.assign(filters[one.filter], {
            nl: one.no_local ?? false,
            rap: one.as_published ?? false,
            rh: one.handling ?? 0,
          });
        }
        const properties = "identifier" in asked ? { subscriptionIdentifier: asked.identifier } : undefined;
        client.subscribe(filters, { properties }, (error, granted, packet) => {
          // It makes an error of a refused filter, and gives the answer beside it.
          if (error && !packet) failed(error);
          else done({ codes: packet?.granted ?? granted.map((one) => one.qos) });
        });
      }),
    ),

  unsubscribe: (asked) => settle(client.unsubscribeAsync(asked.filter)),

  publish: (asked) => {
    const properties = five ? propertiesOf(asked) : undefined;
    const options = { qos: asked.qos, retain: asked.retain, properties };
    return settle(client.publishAsync(asked.topic, bytesOf(asked.payload), options));
  },

  burst: (asked) => {
    const begun = [];
    for (let n = 0; n < asked.count; n += 1) begun.push(client.publishAsync(asked.topic, String(n), { qos: asked.qos }));
    return settle(Promise.all(begun));
  },

  disconnect: (asked) => {
    const options = five && "reason" in asked ? { reasonCode: asked.reason } : {};
    return client.endAsync(false, options);
  },

  cut: () => process.kill(process.pid, "SIGKILL"),
};

for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line);
  try {
    await operations[asked.do](asked).then((done) => {
      const known = ["connect", "subscribe"].includes(asked.do);
      say({ id: asked.n, done: known ? done : {} });
    });
  } catch (error) {
    if (error instanceof Refused) say({ id: asked.n, refused: error.message });
    else say({ id: asked.n, failed: String(error) });
  }
}
// What waits for a pipe would be cut off.
process.stdout.write("", () => process.exit(0));
