"""Joins a room over MQTT 5.0, with paho-mqtt: its last messages, then what comes, also over a lost connection. Prints all that it
got, as offset and body: history.py PORT UNTIL CUT."""

import json
import sys
import threading

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

PORT, UNTIL, CUT = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])

seen = []
done = threading.Event()
again = threading.Event()


def on_connect(client, _userdata, _flags, reason, _properties):
    if reason.is_failure:
        sys.exit(f"CONNACK {reason}")
    wanted = Properties(PacketTypes.SUBSCRIBE)
    wanted.UserProperty = ("x-stream-offset", f"offset={seen[-1][0] + 1}" if seen else "last=50")
    client.subscribe("$stream/room-5", qos=1, properties=wanted)


def on_message(client, _userdata, message):
    if done.is_set() or again.is_set():
        return
    properties = dict(message.properties.UserProperty)
    seen.append([int(properties["x-stream-offset"]), message.payload.decode()])
    if len(seen) == 1:
        print("joined", flush=True)
    if seen[-1][1] == UNTIL:
        done.set()
    elif len(seen) == CUT:
        again.set()
        client.disconnect()


def connect():
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="history", protocol=mqtt.MQTTv5)
    client.on_connect = on_connect
    client.on_message = on_message
    client.connect("127.0.0.1", PORT, 30, clean_start=True)
    client.loop_start()
    return client


first = connect()
if again.wait(60):
    first.loop_stop()
    again.clear()
    second = connect()
if not done.wait(60):
    sys.exit(f"{len(seen)} came, the last {seen[-1:]}")
print(json.dumps(seen), flush=True)
