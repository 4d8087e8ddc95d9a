"""An agent of the compatibility run on gmqtt."""

import asyncio
import ssl

from gmqtt import Client, Message, Subscription
from gmqtt.mqtt.constants import MQTTv50, MQTTv311
from gmqtt.mqtt.handler import MQTTConnectError

from agent import NotOffered, Refused, bytes_of, cut, say, serve_async, text_of

_NAMES = {
    "response_topic": "response_topic",
    "content_type": "content_type",
    "format": "payload_format_id",
    "expiry": "message_expiry_interval",
    "alias": "topic_alias",
    "delay": "will_delay_interval",
}


def _properties(asked):
    found = {theirs: asked[ours] for ours, theirs in _NAMES.items() if ours in asked}
    if "correlation" in asked:
        found["correlation_data"] = bytes_of(asked["correlation"])
    if "user" in asked:
        found["user_property"] = [tuple(pair) for pair in asked["user"]]
    return found


class Agent:
    def __init__(self):
        self.client = None
        self.five = False
        self.closed = asyncio.Event()
        self.subscribed = {}

    async def connect(self, asked):
        if "ws" in asked:
            raise NotOffered("WebSocket")
        self.five = asked["version"] == 5
        more = {}
        if self.five:
            more["session_expiry_interval"] = asked.get("expiry", 0)
            if "receive_maximum" in asked:
                more["receive_maximum"] = asked["receive_maximum"]
        if will := asked.get("will"):
            properties = _properties(will) if self.five else {}
            payload = bytes_of(will["payload"])
            more["will_message"] = Message(will["topic"], payload, will["qos"], will["retain"], **properties)
        # It makes an id of its own for an empty one.
        if not asked["id"]:
            raise NotOffered("an empty client id")
        self.client = client = Client(asked["id"], clean_session=asked["clean"], **more)
        client.set_config({"reconnect_retries": 0, "reconnect_delay": 600})
        if "user" in asked:
            client.set_auth_credentials(asked["user"], asked["password"])
        connected = asyncio.get_running_loop().create_future()
        client.on_connect = lambda _client, present, _reason, _properties: connected.set_result(bool(present))
        client.on_message = self.on_message
        client.on_disconnect = self.on_disconnect
        client.on_subscribe = self.on_subscribe
        secure = ssl.create_default_context(cafile=asked["ca"]) if "ca" in asked else False
        version = MQTTv50 if self.five else MQTTv311
        keepalive = asked.get("keepalive", 30)
        opening = asyncio.create_task(
            client.connect(asked["host"], asked["port"], ssl=secure, keepalive=keepalive, version=version)
        )
        ending = asyncio.create_task(self.closed.wait())
        await asyncio.wait({opening, ending}, return_when=asyncio.FIRST_COMPLETED)
        if not opening.done():
            # A refusal and the end of the connection may come in one turn.
            await asyncio.wait({opening}, timeout=0.5)
        if not opening.done():
            raise Refused("closed")
        try:
            opening.result()
        except MQTTConnectError as error:
            raise Refused(str(error)) from error
        return {"present": await connected, "assigned": None}

    async def on_message(self, _client, topic, payload, qos, properties):
        one = lambda name: properties[name][0]  # noqa: E731
        found = {
            "topic": topic,
            "payload": text_of(payload),
            "qos": qos,
            "retain": bool(properties["retain"]),
        }
        found |= {ours: one(theirs) for ours, theirs in _NAMES.items() if theirs in properties}
        if "correlation_data" in properties:
            found["correlation"] = text_of(one("correlation_data"))
        if "user_property" in properties:
            found["user"] = [list(pair) for pair in properties["user_property"]]
        if "subscription_identifier" in properties:
            found["identifiers"] = properties["subscription_identifier"]
        say(message=found)
        return 0

    def on_disconnect(self, _client, packet, _error=None):
        self.closed.set()
        say(closed=bytes(packet).hex() if isinstance(packet, bytes) else str(packet))

    def on_subscribe(self, _client, mid, codes, _properties):
        self.subscribed.setdefault(mid, asyncio.get_running_loop().create_future()).set_result(list(codes))

    async def settle(self, waiting):
        """Waits for an answer, or for the end of the connection."""
        ending = asyncio.create_task(self.closed.wait())
        done, _ = await asyncio.wait({waiting, ending}, return_when=asyncio.FIRST_COMPLETED)
        if waiting not in done:
            raise Refused("closed")
        return waiting.result()

    async def subscribe(self, asked):
        more = {"subscription_identifier": asked["identifier"]} if "identifier" in asked else {}
        filters = [
            Subscription(
                one["filter"],
                one["qos"],
                no_local=one.get("no_local", False),
                retain_as_published=one.get("as_published", False),
                retain_handling_options=one.get("handling", 0),
            )
            for one in asked["filters"]
        ]
        mid = self.client.subscribe(filters, **more)
        answer = self.subscribed.setdefault(mid, asyncio.get_running_loop().create_future())
        return {"codes": await self.settle(answer)}

    async def unsubscribe(self, asked):
        answer = asyncio.get_running_loop().create_future()
        self.client.on_unsubscribe = lambda *_arguments: answer.set_result(None)
        self.client.unsubscribe(asked["filter"])
        await self.settle(answer)

    async def publish(self, asked):
        more = _properties(asked) if self.five else {}
        self.client.publish(asked["topic"], bytes_of(asked["payload"]), asked["qos"], asked["retain"], **more)
        # It keeps to itself what an acknowledgement says beside the packet id.
        await self.settle(asyncio.create_task(self.client._persistent_storage.wait_empty()))

    async def burst(self, asked):
        # Its packet ids are no more than the broker's Receive Maximum, and it does not wait for a free one.
        for first in range(0, asked["count"], 15):
            for n in range(first, min(first + 15, asked["count"])):
                self.client.publish(asked["topic"], str(n), asked["qos"])
            await self.settle(asyncio.create_task(self.client._persistent_storage.wait_empty()))

    async def disconnect(self, asked):
        await self.client.disconnect(reason_code=asked.get("reason", 0))

    async def cut(self, _asked):
        cut()


async def main():
    await serve_async(Agent())


asyncio.run(main())
