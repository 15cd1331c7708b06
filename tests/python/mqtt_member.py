"""A member of a chat room over MQTT, with paho-mqtt: listens, and speaks when told to."""

import argparse
import threading

import paho.mqtt.client as mqtt

from member import Member


def main():
    arguments = argparse.ArgumentParser(parents=[Member.arguments()])
    arguments.add_argument("--version", type=int, choices=(3, 4, 5), required=True)
    options = arguments.parse_args()
    member = Member(options)
    topic = f"chat/room/{options.room}"
    subscribed = threading.Event()

    client = mqtt.Client(
        mqtt.CallbackAPIVersion.VERSION2,
        client_id=options.name,
        protocol=options.version,
    )
    client.on_connect = lambda *_: client.subscribe(topic, qos=1)
    client.on_subscribe = lambda *_: subscribed.set()
    client.on_message = lambda _client, _userdata, message: member.heard(message.payload)
    client.connect(options.host, options.port)
    client.loop_start()
    if not subscribed.wait(20):
        raise SystemExit(f"{options.name}: no SUBACK")

    member.ready()
    for text in member.words():
        client.publish(topic, text, qos=1)
    member.listen()
    client.disconnect()
    client.loop_stop()
    member.report()


main()
