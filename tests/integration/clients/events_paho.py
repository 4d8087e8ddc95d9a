"""Listens to technical channels with paho-mqtt, in a session that outlives its connection, and says the topic and the
kind of each event. Asked: host, port, user, password, client_id, filters, reader."""

import json

import paho.mqtt.client as mqtt

from history import asked, end_with_the_test, note, say

want = asked()
end_with_the_test()


def on_connect(client, _userdata, _flags, reason, _properties):
    note(f"connected: {reason}")
    client.subscribe([(topics, 1) for topics in want["filters"]])


def on_subscribe(_client, _userdata, _mid, reasons, _properties):
    failed = [reason for reason in reasons if reason.is_failure]
    say("mark", what=f"{want['reader']} {'refused ' + str(failed[0]) if failed else 'ready'}")


def on_message(_client, _userdata, message):
    event = json.loads(message.payload)
    note(f"{message.topic} {message.payload}")
    whole = all(event[name] for name in ("id", "source", "time")) and event["specversion"] == "1.0"
    what = f"{want['reader']} heard {message.topic} {event['type']} at QoS {message.qos}"
    say("mark", what=what if whole else f"{want['reader']} heard something else")


client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=want["client_id"], clean_session=False)
client.on_connect = on_connect
client.on_subscribe = on_subscribe
client.on_message = on_message
client.username_pw_set(want["user"], want["password"])
client.reconnect_delay_set(min_delay=0.2, max_delay=1)
client.connect_async(want["host"], want["port"], keepalive=30)
client.loop_forever(retry_first_connection=True)
