"""Publishes a stream with paho-mqtt on a session that it resumes after every cut, and says what was
acknowledged. Asked: host, port, user, password, client_id, version (4 or 5), qos, topic, stream, count,
window (unacknowledged at most), rate (per second, 0 for as fast as it goes), size, clean."""

import threading
import time

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from history import asked, digest, end_with_the_test, note, payload, say

want = {"version": 4, "qos": 1, "window": 20, "rate": 0, "size": 150, "clean": False, **asked()}
end_with_the_test()

numbers = {}  # packet id -> n
early = {}  # packet id -> reason, acknowledged before `publish` returned the packet id
settled = threading.Condition()
open_count = 0
is_done = False


def on_connect(client, _userdata, _flags, reason, _properties):
    note(f"connected: {reason}")
    if not reason.is_failure:
        say("mark", what=f"{want['stream']} connected")
    else:
        say("mark", what=f"{want['stream']} refused {reason}")


def on_disconnect(_client, _userdata, _flags, reason, _properties):
    note(f"disconnected: {reason}")
    if not is_done:
        say("mark", what=f"{want['stream']} cut")


def settle(n, reason):
    global open_count
    if reason is not None and reason.is_failure:
        say("refused", stream=want["stream"], n=n, code=str(reason))
    else:
        say("acked", stream=want["stream"], n=n)
    open_count -= 1
    settled.notify_all()


def on_publish(_client, _userdata, mid, reason, _properties):
    with settled:
        n = numbers.pop(mid, None)
        if n is None:
            early[mid] = reason
        else:
            settle(n, reason)


five = want["version"] == 5
session = {} if five else {"clean_session": want["clean"]}
client = mqtt.Client(
    mqtt.CallbackAPIVersion.VERSION2,
    client_id=want["client_id"],
    protocol=mqtt.MQTTv5 if five else mqtt.MQTTv311,
    reconnect_on_failure=True,
    **session,
)
client.on_connect = on_connect
client.on_disconnect = on_disconnect
client.on_publish = on_publish
if "user" in want:
    client.username_pw_set(want["user"], want["password"])
client.max_inflight_messages_set(want["window"])
client.reconnect_delay_set(min_delay=0.2, max_delay=1)

opening = {}
if five:
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = 0 if want["clean"] else 3600
    opening = {"clean_start": want["clean"], "properties": properties}
client.connect_async(want["host"], want["port"], keepalive=30, **opening)
client.loop_start()
with settled:
    deadline = time.monotonic() + 30
    while not client.is_connected() and time.monotonic() < deadline:
        settled.wait(0.05)

began = time.monotonic()
for n in range(1, want["count"] + 1):
    data = payload(want["stream"], n, want["size"])
    if want["rate"]:
        ahead = began + n / want["rate"] - time.monotonic()
        if ahead > 0:
            time.sleep(ahead)
    with settled:
        while open_count >= want["window"]:
            settled.wait(1)
        open_count += 1
    say("offered", stream=want["stream"], n=n, digest=digest(data))
    # Not under the lock: paho calls back with its own lock held, which `publish` takes as well.
    info = client.publish(want["topic"], data, qos=want["qos"])
    with settled:
        if want["qos"] == 0:
            early.pop(info.mid, None)
            open_count -= 1
        elif info.mid in early:
            settle(n, early.pop(info.mid))
        else:
            numbers[info.mid] = n

with settled:
    while open_count > 0:
        settled.wait(1)
is_done = True
say("mark", what=f"{want['stream']} done")
client.disconnect()
client.loop_stop()
