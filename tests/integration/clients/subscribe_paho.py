"""Subscribes with paho-mqtt and says what was delivered. Asked: host, port, user, password, client_id,
version, qos, filter, reader, clean."""

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from history import asked, delivered, end_with_the_test, note, say

want = {"version": 4, "qos": 1, "clean": False, **asked()}
end_with_the_test()


def on_connect(client, _userdata, _flags, reason, _properties):
    note(f"connected: {reason}")
    if reason.is_failure:
        say("mark", what=f"{want['reader']} refused {reason}")
    else:
        client.subscribe(want["filter"], qos=want["qos"])


def on_subscribe(_client, _userdata, _mid, reasons, _properties):
    failed = [reason for reason in reasons if reason.is_failure]
    say("mark", what=f"{want['reader']} {'refused ' + str(failed[0]) if failed else 'ready'}")


def on_message(_client, _userdata, message):
    delivered(want["reader"], message.payload)


five = want["version"] == 5
session = {} if five else {"clean_session": want["clean"]}
client = mqtt.Client(
    mqtt.CallbackAPIVersion.VERSION2,
    client_id=want["client_id"],
    protocol=mqtt.MQTTv5 if five else mqtt.MQTTv311,
    **session,
)
client.on_connect = on_connect
client.on_subscribe = on_subscribe
client.on_message = on_message
client.on_disconnect = lambda _c, _u, _f, reason, _p: note(f"disconnected: {reason}")
if "user" in want:
    client.username_pw_set(want["user"], want["password"])
client.reconnect_delay_set(min_delay=0.2, max_delay=1)
opening = {}
if five:
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = 0 if want["clean"] else 3600
    opening = {"clean_start": want["clean"], "properties": properties}
client.connect_async(want["host"], want["port"], keepalive=30, **opening)
client.loop_forever(retry_first_connection=True)
