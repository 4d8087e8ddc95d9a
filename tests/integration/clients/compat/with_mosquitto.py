"""An agent of the compatibility run on mosquitto_pub and mosquitto_sub: each publication is a process, and so is what
a client subscribes to. Neither can do both on one connection."""

import base64
import json
import subprocess
import threading

from agent import NotOffered, Refused, bytes_of, say, serve

WITHIN = 50


def _properties(packet, asked):
    found = []
    names = {
        "response_topic": "response-topic",
        "content_type": "content-type",
        "format": "payload-format-indicator",
        "expiry": "message-expiry-interval",
        "delay": "will-delay-interval",
    }
    for ours, theirs in names.items():
        if ours in asked:
            found += ["-D", packet, theirs, str(asked[ours])]
    if "correlation" in asked:
        found += ["-D", packet, "correlation-data", bytes_of(asked["correlation"]).decode()]
    for key, value in asked.get("user", []):
        found += ["-D", packet, "user-property", key, value]
    return found


class Pairs(dict):
    """An object of JSON whose keys may come more than once."""

    def __init__(self, pairs):
        super().__init__(pairs)
        self.pairs = [list(pair) for pair in pairs]


class Agent:
    def __init__(self):
        self.asked = None
        self.subscriber = None

    def login(self):
        asked = self.asked
        words = ["-h", asked["host"], "-p", str(asked["port"]), "-k", str(asked.get("keepalive", 30))]
        words += ["-V", "mqttv5" if self.five else "mqttv311"]
        if "user" in asked:
            words += ["-u", asked["user"], "-P", asked["password"]]
        if "ca" in asked:
            words += ["--cafile", asked["ca"]]
        return words

    def session(self):
        asked = self.asked
        if not asked["id"]:
            raise NotOffered("an empty client id")
        words = ["-i", asked["id"]]
        if not asked["clean"]:
            words += ["-c"]
        if self.five and asked.get("expiry"):
            words += ["-x", str(asked["expiry"])]
        if self.five and "receive_maximum" in asked:
            words += ["-D", "connect", "receive-maximum", str(asked["receive_maximum"])]
        if will := asked.get("will"):
            words += ["--will-topic", will["topic"], "--will-payload", bytes_of(will["payload"]).decode()]
            words += ["--will-qos", str(will["qos"])]
            if will["retain"]:
                words += ["--will-retain"]
            if self.five:
                words += _properties("will", will)
        return words

    def connect(self, asked):
        self.asked = asked
        self.five = asked["version"] == 5
        if "ws" in asked:
            raise NotOffered("WebSocket")
        self.session()
        if "will" in asked:
            self.listen([{"filter": "nothing/comes/here", "qos": 0}], [])
        elif asked["clean"] and not asked.get("expiry"):
            # Its own way to try a login.
            words = ["mosquitto_sub", *self.login(), *self.session(), "-E", "-t", "nothing/comes/here"]
            self.finish(subprocess.run(words, capture_output=True, timeout=WITHIN, text=True))
        return {"present": None, "assigned": None}

    def finish(self, done):
        if done.returncode != 0:
            text = done.stderr.strip() or f"status {done.returncode}"
            # So it begins where the broker gave a code.
            raise Refused(text if text.startswith("Connection error:") else f"closed: {text}")
        if "rror" in done.stderr or "Warning" in done.stderr:
            raise Refused(done.stderr.strip())

    def subscribe(self, asked):
        if self.subscriber:
            raise NotOffered("another subscription on a connection")
        if any(one.get("handling") for one in asked["filters"]):
            raise NotOffered("retain handling")
        if any(one.get("no_local") for one in asked["filters"]):
            raise NotOffered("publishing on the connection that subscribes")
        more = ["--retain-as-published"] if any(one.get("as_published") for one in asked["filters"]) else []
        if "identifier" in asked:
            more += ["-D", "subscribe", "subscription-identifier", str(asked["identifier"])]
        return {"codes": self.listen(asked["filters"], more)}

    def listen(self, filters, more):
        if len({one["qos"] for one in filters}) > 1:
            raise NotOffered("several QoS on one connection")
        words = ["stdbuf", "-oL", "mosquitto_sub", *self.login(), *self.session(), "-d", "-F", "%j", *more]
        words += ["-q", str(filters[0]["qos"])]
        for one in filters:
            words += ["-t", one["filter"]]
        pipe = subprocess.PIPE
        self.subscriber = subprocess.Popen(words, stdout=pipe, stderr=subprocess.STDOUT, text=True)
        answered = threading.Event()
        answer = {"connects": 0}
        subscriber = self.subscriber

        def read():
            for line in subscriber.stdout:
                # It connects again by itself; the other clients of the run do not.
                answer["connects"] += "sending CONNECT" in line
                if answer["connects"] > 1:
                    subscriber.kill()
                    break
                if line.startswith("{"):
                    self.delivered(json.loads(line, object_pairs_hook=Pairs))
                elif line.startswith("Subscribed"):
                    answer["codes"] = [int(code) for code in line.split(": ")[-1].replace(",", "").split()]
                    answered.set()
                elif "rror" in line or "refused" in line:
                    answer["error"] = line.strip()
            say(closed=answer.get("error", "ended"))
            answered.set()

        threading.Thread(target=read, daemon=True).start()
        answered.wait(WITHIN)
        if "codes" not in answer:
            raise Refused(answer.get("error", "closed"))
        return answer["codes"]

    def delivered(self, line):
        payload = line["payload"]
        text = payload if isinstance(payload, str) else "" if payload is None else json.dumps(payload)
        found = {
            "topic": line["topic"],
            "payload": base64.b64encode(text.encode()).decode(),
            "qos": line["qos"],
            "retain": bool(line["retain"]),
        }
        properties = line.get("properties", {})
        names = {
            "response_topic": "response-topic",
            "content_type": "content-type",
            "format": "payload-format-indicator",
            "expiry": "message-expiry-interval",
        }
        found |= {ours: properties[theirs] for ours, theirs in names.items() if theirs in properties}
        if "correlation-data" in properties:
            found["correlation"] = base64.b64encode(properties["correlation-data"].encode()).decode()
        if "user-properties" in properties:
            found["user"] = properties["user-properties"].pairs
        if "subscription-identifier" in properties:
            found["identifiers"] = [properties["subscription-identifier"]]
        say(message=found)

    def unsubscribe(self, _asked):
        raise NotOffered("taking a subscription back on a connection that goes on")

    def publish(self, asked):
        if "alias" in asked:
            raise NotOffered("two publications with one topic alias")
        payload = bytes_of(asked["payload"])
        words = ["mosquitto_pub", *self.login(), "-q", str(asked["qos"]), "-t", asked["topic"]]
        # It takes no empty standard input for a payload.
        words += ["-s"] if payload else ["-n"]
        if asked["retain"]:
            words += ["-r"]
        if self.five:
            words += _properties("publish", asked)
        done = subprocess.run(words, capture_output=True, input=payload, timeout=WITHIN)
        done.stderr = done.stderr.decode()
        self.finish(done)

    def burst(self, asked):
        words = ["mosquitto_pub", *self.login(), "-q", str(asked["qos"]), "-t", asked["topic"], "-l"]
        lines = "".join(f"{n}\n" for n in range(asked["count"]))
        self.finish(subprocess.run(words, capture_output=True, input=lines, timeout=WITHIN, text=True))

    def disconnect(self, asked):
        # With a will, its goodbye in MQTT 5 is the one that has the will published, and there is no other.
        takes_will_along = self.five and "will" in self.asked
        if takes_will_along != ("reason" in asked):
            raise NotOffered("that goodbye")
        self.stop("terminate")

    def cut(self, _asked):
        self.stop("kill")

    def end(self):
        self.stop("kill")

    def stop(self, how):
        if self.subscriber:
            getattr(self.subscriber, how)()
            self.subscriber.wait(WITHIN)
            self.subscriber = None


serve(Agent())
