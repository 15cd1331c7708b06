"""gmqtt, told what to do: gmqtt_client.py 3.1.1|5.0 tcp PORT."""

import asyncio
import sys
import threading

from gmqtt import Client, Message
from gmqtt.mqtt.constants import MQTTv50, MQTTv311

from adapter import PATIENCE, lines, message, say, word

VERSIONS = {"3.1.1": MQTTv311, "5.0": MQTTv50}


class Gmqtt:
    def __init__(self, version, port):
        self.version = VERSIONS[version]
        self.port = port
        self.client = None

    async def connect(self, name, session, *will):
        keep = session == "keep"
        more = {"session_expiry_interval": 3600} if keep and self.version == MQTTv50 else {}
        if will:
            topic, body, qos, retain, _ = message(will)
            more["will_message"] = Message(topic, body, qos=qos, retain=retain)
        client = Client(name, clean_session=not keep, **more)
        client.set_config({"reconnect_retries": 0})
        client.on_connect = lambda _client, flags, code, _properties: (
            say("failed", why=f"CONNACK {code}") if code else say("connected", present=bool(flags & 1))
        )
        client.on_message = self.on_message
        client.on_subscribe = lambda _client, _mid, codes, _properties: say("subscribed", qos=codes[0])
        self.left = asyncio.Event()
        client.on_disconnect = lambda *_: self.left.set()
        self.client = client
        await client.connect("127.0.0.1", self.port, keepalive=30, version=self.version)

    async def on_message(self, _client, topic, body, qos, properties):
        more = {}
        if "response_topic" in properties:
            more["response_topic"] = properties["response_topic"][0]
            more["correlation"] = word(properties["correlation_data"][0])
        say("message", topic=topic, payload=word(body), qos=qos, retain=bool(properties["retain"]), **more)
        return 0

    async def subscribe(self, topic, qos):
        self.client.subscribe(topic, qos=int(qos))

    async def publish(self, *words):
        topic, body, qos, retain, answer = message(words)
        more = {"response_topic": answer[0], "correlation_data": answer[1]} if answer else {}
        self.client.publish(topic, body, qos=qos, retain=retain, **more)
        # What is not acknowledged is kept there.
        await asyncio.wait_for(self.client._persistent_storage.wait_empty(), PATIENCE)
        say("published")

    async def leave(self):
        await self.client.disconnect()
        await asyncio.wait_for(self.left.wait(), PATIENCE)
        say("left")


async def main():
    client = Gmqtt(sys.argv[1], int(sys.argv[3]))
    told = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def listen():
        for words in lines():
            loop.call_soon_threadsafe(told.put_nowait, words)
        loop.call_soon_threadsafe(told.put_nowait, None)

    threading.Thread(target=listen, daemon=True).start()
    while words := await told.get():
        await getattr(client, words[0])(*words[1:])


asyncio.run(main())
