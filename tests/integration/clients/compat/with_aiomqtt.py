"""An agent of the compatibility run on aiomqtt."""

import asyncio

import aiomqtt
from paho.mqtt.reasoncodes import ReasonCode

import paho_properties as to
from agent import NotOffered, Refused, bytes_of, cut, say, serve_async


def _code(error):
    """The broker's code, or that it closed without one."""
    rc = getattr(error, "rc", None)
    return str(error) if isinstance(rc, ReasonCode) and rc.is_failure else f"closed: {error}"


class Agent:
    def __init__(self):
        self.client = None
        self.five = False
        self.reader = None

    async def connect(self, asked):
        self.five = asked["version"] == 5
        more = {"clean_session": asked["clean"]}
        if self.five:
            more = {"clean_start": asked["clean"], "properties": to.of_connect(asked)}
        if will := asked.get("will"):
            properties = to.of_will(will) if self.five else None
            payload = bytes_of(will["payload"])
            more["will"] = aiomqtt.Will(will["topic"], payload, will["qos"], will["retain"], properties)
        if "ca" in asked:
            more["tls_params"] = aiomqtt.TLSParameters(ca_certs=asked["ca"])
        if "ws" in asked:
            more |= {"transport": "websockets", "websocket_path": asked["ws"]}
        self.client = aiomqtt.Client(
            asked["host"],
            port=asked["port"],
            username=asked.get("user"),
            password=asked.get("password"),
            identifier=asked["id"],
            protocol=aiomqtt.ProtocolVersion.V5 if self.five else aiomqtt.ProtocolVersion.V311,
            keepalive=asked.get("keepalive", 30),
            timeout=50,
            **more,
        )
        try:
            await self.client.__aenter__()
        except aiomqtt.MqttError as error:
            raise Refused(_code(error)) from error
        self.reader = asyncio.create_task(self.read())
        return {"present": None, "assigned": None}

    async def read(self):
        try:
            async for message in self.client.messages:
                say(message=to.delivered(message))
        except aiomqtt.MqttError as error:
            say(closed=str(error))

    async def subscribe(self, asked):
        if self.five:
            filters = [(one["filter"], to.options(one)) for one in asked["filters"]]
            reasons = await self.client.subscribe(filters, properties=to.of_subscribe(asked))
        else:
            reasons = await self.client.subscribe([(one["filter"], one["qos"]) for one in asked["filters"]])
        return {"codes": [reason.value for reason in reasons]}

    async def unsubscribe(self, asked):
        await self.client.unsubscribe(asked["filter"])

    async def publish(self, asked):
        properties = to.of_publish(asked) if self.five else None
        payload = bytes_of(asked["payload"])
        try:
            await self.client.publish(asked["topic"], payload, asked["qos"], asked["retain"], properties)
        except aiomqtt.MqttError as error:
            raise Refused(_code(error)) from error

    async def burst(self, asked):
        # As many at a time as a receiver may take without a word about it: paho keeps the rest in its own queue.
        for first in range(0, asked["count"], 50):
            upto = min(first + 50, asked["count"])
            batch = [self.client.publish(asked["topic"], str(n), asked["qos"]) for n in range(first, upto)]
            await asyncio.gather(*batch)

    async def disconnect(self, asked):
        if "reason" in asked:
            raise NotOffered("a reason for the goodbye")
        self.reader.cancel()
        await self.client.__aexit__(None, None, None)

    async def cut(self, _asked):
        cut()


asyncio.run(serve_async(Agent()))
