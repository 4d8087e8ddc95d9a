"""paho-mqtt's properties from and to what the compatibility run calls them; aiomqtt has the same ones."""

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from agent import bytes_of, text_of

_NAMES = {
    "response_topic": "ResponseTopic",
    "content_type": "ContentType",
    "format": "PayloadFormatIndicator",
    "expiry": "MessageExpiryInterval",
    "alias": "TopicAlias",
    "delay": "WillDelayInterval",
}


def of_publish(asked, packet=PacketTypes.PUBLISH):
    properties = Properties(packet)
    for ours, theirs in _NAMES.items():
        if ours in asked:
            setattr(properties, theirs, asked[ours])
    if "correlation" in asked:
        properties.CorrelationData = bytes_of(asked["correlation"])
    if "user" in asked:
        properties.UserProperty = [tuple(pair) for pair in asked["user"]]
    return properties


def of_will(asked):
    return of_publish(asked, PacketTypes.WILLMESSAGE)


def of_connect(asked):
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = asked.get("expiry", 0)
    if "receive_maximum" in asked:
        properties.ReceiveMaximum = asked["receive_maximum"]
    return properties


def of_subscribe(asked):
    if "identifier" not in asked:
        return None
    properties = Properties(PacketTypes.SUBSCRIBE)
    properties.SubscriptionIdentifier = asked["identifier"]
    return properties


def options(one):
    return SubscribeOptions(
        qos=one["qos"],
        noLocal=one.get("no_local", False),
        retainAsPublished=one.get("as_published", False),
        retainHandling=one.get("handling", 0),
    )


def delivered(message):
    """What was delivered, as the run reads it."""
    found = {
        "topic": str(message.topic),
        "payload": text_of(message.payload or b""),
        "qos": message.qos,
        "retain": bool(message.retain),
    }
    properties = getattr(message, "properties", None)
    if properties is None:
        return found
    for ours, theirs in _NAMES.items():
        if hasattr(properties, theirs):
            found[ours] = getattr(properties, theirs)
    if hasattr(properties, "CorrelationData"):
        found["correlation"] = text_of(properties.CorrelationData)
    if hasattr(properties, "UserProperty"):
        found["user"] = [list(pair) for pair in properties.UserProperty]
    if hasattr(properties, "SubscriptionIdentifier"):
        found["identifiers"] = list(properties.SubscriptionIdentifier)
    return found
