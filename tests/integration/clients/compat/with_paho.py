"""An agent of the compatibility run on paho-mqtt."""

import threading

import paho.mqtt.client as mqtt
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.packettypes import PacketTypes

import paho_properties as to
from agent import Refused, bytes_of, cut, say, serve

WITHIN = 50


class Agent:
    def __init__(self):
        self.changed = threading.Condition()
        self.client = None
        self.five = False
        self.connack = None
        self.closed = None
        self.answers = {}

    def connect(self, asked):
        self.five = asked["version"] == 5
        ws = asked.get("ws")
        self.client = client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2,
            client_id=asked["id"],
            protocol=mqtt.MQTTv5 if self.five else mqtt.MQTTv311,
            transport="websockets" if ws else "tcp",
            reconnect_on_failure=False,
            **({} if self.five else {"clean_session": asked["clean"]}),
        )
        if ws:
            client.ws_set_options(path=ws)
        if "user" in asked:
            client.username_pw_set(asked["user"], asked["password"])
        if "ca" in asked:
            client.tls_set(asked["ca"])
        if will := asked.get("will"):
            properties = to.of_will(will) if self.five else None
            client.will_set(will["topic"], bytes_of(will["payload"]), will["qos"], will["retain"], properties)
        client.on_connect = self.on_connect
        client.on_disconnect = self.on_disconnect
        client.on_message = lambda _client, _userdata, message: say(message=to.delivered(message))
        client.on_publish = lambda _client, _userdata, mid, reason, _properties: self.answer(mid, reason)
        client.on_subscribe = lambda _client, _userdata, mid, reasons, _properties: self.answer(mid, reasons)
        client.on_unsubscribe = lambda _client, _userdata, mid, reasons, _properties: self.answer(mid, reasons)
        opening = {"clean_start": asked["clean"], "properties": to.of_connect(asked)} if self.five else {}
        client.connect(asked["host"], asked["port"], keepalive=asked.get("keepalive", 30), **opening)
        client.loop_start()
        with self.changed:
            self.changed.wait_for(lambda: self.connack or self.closed, WITHIN)
            if not self.connack:
                raise Refused("closed")
            flags, reason, properties = self.connack
        if reason.is_failure:
            raise Refused(str(reason))
        assigned = getattr(properties, "AssignedClientIdentifier", None)
        return {"present": flags.session_present, "assigned": assigned}

    def on_connect(self, _client, _userdata, flags, reason, properties):
        with self.changed:
            self.connack = (flags, reason, properties)
            self.changed.notify_all()

    def on_disconnect(self, _client, _userdata, _flags, reason, _properties):
        with self.changed:
            self.closed = str(reason)
            self.changed.notify_all()
        say(closed=str(reason))

    def answer(self, mid, reason):
        with self.changed:
            self.answers[mid] = reason
            self.changed.notify_all()

    def await_answer(self, mid):
        with self.changed:
            self.changed.wait_for(lambda: mid in self.answers or self.closed, WITHIN)
            if mid not in self.answers:
                raise Refused(f"closed: {self.closed}" if self.closed else "no answer")
            return self.answers.pop(mid)

    def subscribe(self, asked):
        if self.five:
            filters = [(one["filter"], to.options(one)) for one in asked["filters"]]
            _, mid = self.client.subscribe(filters, properties=to.of_subscribe(asked))
        else:
            _, mid = self.client.subscribe([(one["filter"], one["qos"]) for one in asked["filters"]])
        return {"codes": [reason.value for reason in self.await_answer(mid)]}

    def unsubscribe(self, asked):
        _, mid = self.client.unsubscribe(asked["filter"])
        self.await_answer(mid)

    def begin(self, asked):
        properties = to.of_publish(asked) if self.five else None
        payload = bytes_of(asked["payload"])
        return self.client.publish(asked["topic"], payload, asked["qos"], asked["retain"], properties).mid

    def publish(self, asked):
        reason = self.await_answer(self.begin(asked))
        if reason.is_failure:
            raise Refused(str(reason))

    def burst(self, asked):
        begun = []
        for n in range(asked["count"]):
            begun.append(self.client.publish(asked["topic"], str(n), asked["qos"]).mid)
        for mid in begun:
            self.await_answer(mid)

    def disconnect(self, asked):
        if self.five and "reason" in asked:
            reason = ReasonCode(PacketTypes.DISCONNECT, identifier=asked["reason"])
            self.client.disconnect(reasoncode=reason)
        else:
            self.client.disconnect()
        with self.changed:
            self.changed.wait_for(lambda: self.closed, WITHIN)

    def cut(self, _asked):
        cut()


serve(Agent())
