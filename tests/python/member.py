"""What every member of a room does, whichever protocol carries it.

It says `ready` when it listens, waits for the line `go`, says `--count` things, and goes on listening until it has heard
`--total` things and then nothing for a while, or until `--seconds` are over. Then it prints what it heard, in order.
"""

import argparse
import json
import threading
import time


class Member:
    """Somebody in a room."""

    @staticmethod
    def arguments():
        """The arguments that every member takes."""
        parser = argparse.ArgumentParser(add_help=False)
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, required=True)
        parser.add_argument("--name", required=True)
        parser.add_argument("--room", default="5")
        parser.add_argument("--count", type=int, required=True)
        parser.add_argument("--total", type=int, required=True)
        parser.add_argument("--seconds", type=float, default=60)
        return parser

    def __init__(self, options):
        self.name = options.name
        self.count = options.count
        self.total = options.total
        self.seconds = options.seconds
        self.bodies = []
        self.changed = threading.Condition()

    def ready(self):
        """Says that it listens, and waits for the word to speak."""
        print("ready", flush=True)
        input()

    def words(self):
        """What it says: every other time in Korean."""
        for number in range(1, self.count + 1):
            text = "안녕하세요, 여러분! 🎉" if number % 2 else "hello, everybody"
            said = {"from": self.name, "number": number, "text": f"{text} {number}"}
            yield json.dumps(said, ensure_ascii=False)

    def heard(self, body):
        """Something was said in the room."""
        with self.changed:
            self.bodies.append(body.decode("utf-8"))
            self.changed.notify()

    def listen(self):
        """Waits until everything was heard, and a moment longer for what should not come."""
        end = time.monotonic() + self.seconds
        with self.changed:
            while len(self.bodies) < self.total and time.monotonic() < end:
                self.changed.wait(end - time.monotonic())
        time.sleep(0.5)

    def report(self):
        """Prints what was heard."""
        with self.changed:
            print(json.dumps(self.bodies, ensure_ascii=False), flush=True)
