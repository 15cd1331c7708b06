"""A member of a chat room over STOMP, with stomp.py: listens, and speaks when told to."""

import argparse
import threading

import stomp

from member import Member


class Ear(stomp.ConnectionListener):
    """Hands on what comes."""

    def __init__(self, member):
        self.member = member
        self.subscribed = threading.Event()

    def on_receipt(self, frame):
        if frame.headers.get("receipt-id") == "subscribed":
            self.subscribed.set()

    def on_message(self, frame):
        self.member.heard(frame.body.encode())

    def on_error(self, frame):
        raise SystemExit(f"{self.member.name}: ERROR {frame.headers} {frame.body}")


def main():
    options = argparse.ArgumentParser(parents=[Member.arguments()]).parse_args()
    member = Member(options)
    destination = f"/topic/chat.room.{options.room}"

    connection = stomp.Connection12([(options.host, options.port)], heartbeats=(10000, 10000))
    ear = Ear(member)
    connection.set_listener("", ear)
    connection.connect("guest", "guest", wait=True)
    connection.subscribe(destination, id="room", ack="auto", headers={"receipt": "subscribed"})
    if not ear.subscribed.wait(20):
        raise SystemExit(f"{options.name}: no RECEIPT")

    member.ready()
    for text in member.words():
        connection.send(destination, text, content_type="application/json")
    member.listen()
    connection.disconnect()
    member.report()


main()
