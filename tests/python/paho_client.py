"""paho-mqtt, told what to do: paho_client.py 3.1|3.1.1|5.0 tcp|websocket PORT."""

import sys
import threading

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from adapter import PATIENCE, lines, message, payload, say, trust, word

VERSIONS = {"3.1": mqtt.MQTTv31, "3.1.1": mqtt.MQTTv311, "5.0": mqtt.MQTTv5}


class Paho:
    def __init__(self, version, transport, port):
        self.version = VERSIONS[version]
        self.transport = transport
        self.port = port
        self.client = None
        self.reasons = {}

    def connect(self, name, session, *will):
        keep = session == "keep"
        is_5 = self.version == mqtt.MQTTv5
        client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2,
            client_id=name,
            protocol=self.version,
            transport="websockets" if self.transport == "websocket" else "tcp",
            reconnect_on_failure=False,
            **({} if is_5 else {"clean_session": not keep}),
        )
        client.ws_set_options(path="/ws")
        if tls := trust():
            client.tls_set(tls["ca"], tls.get("cert"), tls.get("key"))
        client.on_connect = self.on_connect
        client.on_subscribe = lambda _c, _u, _m, codes, _p: say("subscribed", qos=codes[0].value)
        client.on_message = self.on_message
        client.on_publish = self.on_publish
        client.on_disconnect = self.on_disconnect
        if will:
            topic, body, qos, retain, _ = message(will)
            client.will_set(topic, body, qos, retain)
        more = {}
        if is_5:
            properties = Properties(PacketTypes.CONNECT)
            if keep:
                properties.SessionExpiryInterval = 3600
            more = {"clean_start": not keep, "properties": properties}
        self.left = threading.Event()
        self.client = client
        client.connect("127.0.0.1", self.port, 30, **more)
        client.loop_start()

    def on_connect(self, _client, _userdata, flags, reason, properties):
        if reason.is_failure:
            say("failed", why=f"CONNACK {reason}", code=reason.value, **elsewhere(properties))
        else:
            say("connected", present=flags.session_present)

    def on_message(self, _client, _userdata, came):
        more = {}
        if getattr(came.properties, "ResponseTopic", None) is not None:
            more["response_topic"] = came.properties.ResponseTopic
        if getattr(came.properties, "CorrelationData", None) is not None:
            more["correlation"] = word(came.properties.CorrelationData)
        if getattr(came.properties, "UserProperty", None) is not None:
            more["user"] = came.properties.UserProperty
        say("message", topic=came.topic, payload=word(came.payload), qos=came.qos, retain=bool(came.retain), **more)

    def on_publish(self, _client, _userdata, number, reason, _properties):
        self.reasons[number] = reason.value

    def on_disconnect(self, _client, _userdata, _flags, reason, properties):
        self.left.set()
        if reason.is_failure:
            say("failed", why=f"the connection was lost: {reason}", code=reason.value, **elsewhere(properties))

    def subscribe(self, topic, qos):
        self.client.subscribe(topic, int(qos))

    def choose(self, topic, qos, *pairs):
        self.client.subscribe(topic, int(qos), properties=user(PacketTypes.SUBSCRIBE, pairs))

    def tell(self, topic, body, qos, *pairs):
        self.wait(self.client.publish(topic, payload(body), int(qos), False, user(PacketTypes.PUBLISH, pairs)))

    def publish(self, *words):
        topic, body, qos, retain, answer = message(words)
        properties = None
        if answer:
            properties = Properties(PacketTypes.PUBLISH)
            properties.ResponseTopic, properties.CorrelationData = answer
        self.wait(self.client.publish(topic, body, qos, retain, properties))

    def wait(self, info):
        """Until the broker has it, or has refused it by the code that it says."""
        info.wait_for_publish(PATIENCE)
        say("published" if info.is_published() else "failed", code=self.reasons.pop(info.mid, 0))

    def leave(self):
        self.client.disconnect()
        self.left.wait(PATIENCE)
        self.client.loop_stop()
        say("left")


def user(packet, pairs):
    """User properties, each written name=value."""
    properties = Properties(packet)
    properties.UserProperty = [tuple(pair.split("=", 1)) for pair in pairs]
    return properties


def elsewhere(properties):
    """Where the broker says to go instead."""
    reference = getattr(properties, "ServerReference", None)
    return {} if reference is None else {"reference": reference}


def main():
    client = Paho(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    for command, *words in lines():
        getattr(client, command)(*words)


main()
