"""stomp.py, told what to do: stomp_client.py 1.0|1.1|1.2 tcp PORT."""

import logging
import sys
import threading

import stomp

from adapter import lines, login, payload, say, trust, word

CONNECTIONS = {"1.0": stomp.Connection10, "1.1": stomp.Connection11, "1.2": stomp.Connection12}


class Client(stomp.ConnectionListener):
    def __init__(self, version, port):
        self.version = version
        self.port = port
        self.messages = []
        self.is_leaving = False
        self.comes_back = False
        self.is_back = threading.Event()
        self.subscriptions = []

    def on_connected(self, frame):
        if self.subscriptions:
            threading.Thread(target=self.subscribe_again, daemon=True).start()
        else:
            say("connected", version=frame.headers.get("version", "1.0"))

    def on_message(self, frame):
        self.messages.append(frame.headers)
        headers = frame.headers
        more = {"redelivered": headers.get("redelivered") == "true", "type": headers.get("content-type"), "headers": headers}
        say("message", destination=headers["destination"], payload=word(frame.body.encode()), **more)

    def on_receipt(self, frame):
        # A receipt is asked for by the name of what is said when it comes.
        say(frame.headers["receipt-id"])

    def on_error(self, frame):
        say("error", message=frame.headers.get("message"))

    def on_disconnected(self):
        if self.is_leaving:
            return
        say("lost")
        if self.comes_back:
            # As the documentation of stomp.py has it: it does not come back by itself, but tries for a while when it is told to.
            threading.Thread(target=self.enter, daemon=True).start()

    def enter(self):
        self.connection.connect(*login(), wait=True)

    def connect(self, beat_ms, habit):
        beat = int(beat_ms)
        more = {} if self.version == "1.0" else {"heartbeats": (beat, beat)}
        self.is_leaving = False
        self.comes_back = habit == "returns"
        self.connection = CONNECTIONS[self.version](
            [("127.0.0.1", self.port)], reconnect_attempts_max=60, reconnect_sleep_initial=0.2, reconnect_sleep_max=0.5, **more
        )
        if tls := trust():
            self.connection.set_ssl([("127.0.0.1", self.port)], tls.get("key"), tls.get("cert"), tls["ca"])
        self.connection.set_listener("", self)
        self.enter()

    # What more it is to say is told as `name:value`.
    def subscribe(self, name, destination, ack, *more):
        if self.comes_back:
            self.subscriptions.append((name, destination, ack, more))
        self.ask_for(name, destination, ack, more, "subscribed")

    def ask_for(self, name, destination, ack, more, receipt):
        headers = {**named(more), "receipt": receipt}
        # In 1.0 a subscription goes by its destination.
        self.connection.subscribe(destination, id=None if self.version == "1.0" else name, ack=ack, headers=headers)

    def subscribe_again(self):
        for subscription in self.subscriptions:
            self.ask_for(*subscription, "returned")

    def unsubscribe(self, name, destination, *more):
        which = {"destination": destination} if self.version == "1.0" else {"id": name}
        self.connection.unsubscribe(**which, headers={**named(more), "receipt": "unsubscribed"})

    def send(self, destination, body, transaction="-", *more):
        headers = {"content-type": "text/plain;charset=utf-8", **named(more)}
        if transaction != "-":
            headers["transaction"] = transaction
        else:
            headers["receipt"] = "sent"
        self.connection.send(destination, payload(body).decode(), headers=headers)
        if transaction != "-":
            say("sent")

    def settle(self, how, number, more):
        message = self.messages[int(number)]
        more = {**named(more), "receipt": "settled"}
        if self.version == "1.0":
            how(message["message-id"], **more)
        elif self.version == "1.1":
            how(message["message-id"], message["subscription"], **more)
        else:
            how(message["ack"], **more)

    def ack(self, number, *more):
        self.settle(self.connection.ack, number, more)

    def nack(self, number, *more):
        self.settle(self.connection.nack, number, more)

    def begin(self, name):
        self.connection.begin(name, headers={"receipt": "begun"})

    def commit(self, name):
        self.connection.commit(name, headers={"receipt": "committed"})

    def abort(self, name):
        self.connection.abort(name, headers={"receipt": "aborted"})

    def leave(self):
        self.is_leaving = True
        self.connection.disconnect(receipt="left")


def named(words):
    return dict(word.split(":", 1) for word in words)


def main():
    # It complains of every attempt to come back.
    logging.getLogger("stomp.py").setLevel(logging.CRITICAL)
    client = Client(sys.argv[1], int(sys.argv[3]))
    for command, *words in lines():
        getattr(client, command)(*words)


main()
