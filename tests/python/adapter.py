"""What every client program of the tests does: it is told one thing in each line of its input, and prints one JSON object for
each thing that happens. Payloads are written in hexadecimal digits, `-` for none, so that no line is broken by them.
"""

import json
import os
import sys
import threading

PATIENCE = 15

_lock = threading.Lock()


def say(event, **more):
    """Prints that something happened."""
    with _lock:
        print(json.dumps({"event": event, **more}), flush=True)


def trust():
    """Files for TLS by what they are, `ca`, `cert`, `key`; nothing where it is not by TLS."""
    return {what: os.environ[f"TLS_{what.upper()}"] for what in ("ca", "cert", "key") if f"TLS_{what.upper()}" in os.environ}


def login():
    """User and password, unless it is to say none."""
    return () if "NO_LOGIN" in os.environ else ("guest", "guest")


def payload(text):
    """The bytes of a word."""
    return b"" if text == "-" else bytes.fromhex(text)


def word(payload):
    """The word for bytes."""
    return payload.hex() or "-"


def lines():
    """What it is told, in words."""
    for line in sys.stdin:
        yield line.split()


def message(words):
    """Topic, payload, QoS, RETAIN, and where the answer goes, from the words of a message."""
    topic, body, qos, retain, *answer = words
    answer = (answer[0], payload(answer[1])) if answer else None
    return topic, payload(body), int(qos), retain == "1", answer
