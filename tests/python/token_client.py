"""stomp.py and paho show signed tokens: token_client.py KIND PORT TOKEN EXPIRED NEWER. Prints what comes, a JSON line each.

KIND is stomp, stomp-ws, mqtt or mqtt-ws. The STOMP client sends with EXPIRED, then with NEWER; the MQTT client only with TOKEN.
"""

import json
import sys
import threading
import time

kind, port, token, expired, newer = sys.argv[1], int(sys.argv[2]), *sys.argv[3:]


def say(step, **more):
    print(json.dumps({"step": step, **more}), flush=True)


def watch():
    time.sleep(60)
    say("late")
    sys.stdout.flush()
    import os

    os._exit(1)


threading.Thread(target=watch, daemon=True).start()
done = threading.Event()

if kind.startswith("stomp"):
    import stomp

    class Listener(stomp.ConnectionListener):
        def on_message(self, frame):
            headers = frame.headers
            if headers["subscription"] == "errors":
                say("refused", code=headers["error-code"], request=headers["client-request-code"])
                send("2", newer)
            else:
                say("message", body=frame.body, request=headers["client-request-code"])
                done.set()

        def on_error(self, frame):
            say("error", body=frame.body)
            done.set()

    if kind == "stomp-ws":
        connection = stomp.WSStompConnection([("127.0.0.1", port)], ws_path="/ws")
    else:
        connection = stomp.StompConnection12([("127.0.0.1", port)])
    connection.set_listener("", Listener())
    connection.connect(wait=True, headers={"Authorization": f"Bearer {token}"})
    say("connected")

    def send(code, token):
        headers = {"Authorization": f"Bearer {token}", "client-request-code": code}
        connection.send("/topic/token", "안녕", headers=headers)

    connection.subscribe("/session/queue/request-error", id="errors")
    connection.subscribe("/topic/token", id="messages", headers={"Authorization": f"Bearer {token}"})
    send("1", expired)
    done.wait()
    connection.disconnect()
else:
    import paho.mqtt.client as mqtt

    transport = "websockets" if kind == "mqtt-ws" else "tcp"
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5, transport=transport)
    if transport == "websockets":
        client.ws_set_options(path="/mqtt")
    client.username_pw_set("anybody", token)

    def on_connect(client, userdata, flags, reason, properties):
        if reason.is_failure:
            say("refused", code=reason.value)
            return done.set()
        say("connected")
        client.subscribe("token", 1)

    def on_message(client, userdata, message):
        say("message", body=message.payload.decode())
        done.set()

    client.on_connect = on_connect
    client.on_subscribe = lambda client, *_: client.publish("token", "안녕", 1)
    client.on_message = on_message
    client.connect("127.0.0.1", port)
    client.loop_start()
    done.wait()
    client.disconnect()
    client.loop_stop()
say("done")
