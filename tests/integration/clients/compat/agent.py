"""What the Python clients of the compatibility run share. An agent holds one connection and does what it is told:
one JSON object per line on standard input, answered by one line with the same id; what it is delivered is a line of
its own. An operation that the client has no way to do is answered with `not_offered`."""

import asyncio
import base64
import json
import os
import signal
import sys
import threading

_lock = threading.Lock()


class NotOffered(Exception):
    """The client has no such thing."""


class Refused(Exception):
    """The broker said no; the text is its code, or `closed` where it closed without one."""


def say(**fields):
    """Writes one line at once."""
    line = json.dumps(fields, separators=(",", ":"))
    with _lock:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def bytes_of(text):
    return base64.b64decode(text)


def text_of(data):
    return base64.b64encode(bytes(data)).decode()


def cut():
    """Ends as a client does whose power is cut."""
    os.kill(os.getpid(), signal.SIGKILL)


def _answer(asked, result):
    say(id=asked["n"], **result)


def _failed(asked, error):
    if isinstance(error, NotOffered):
        return _answer(asked, {"not_offered": str(error)})
    if isinstance(error, Refused):
        return _answer(asked, {"refused": str(error)})
    return _answer(asked, {"failed": f"{type(error).__name__}: {error}"})


def serve(agent):
    """Does what is asked until standard input ends."""
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            _answer(asked, {"done": getattr(agent, asked["do"])(asked) or {}})
        except Exception as error:  # Whatever a client throws is an answer.
            _failed(asked, error)
    if hasattr(agent, "end"):
        agent.end()
    os._exit(0)


async def serve_async(agent):
    """The same for clients on asyncio."""
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        asked = json.loads(line)
        try:
            async with asyncio.timeout(60):
                _answer(asked, {"done": await getattr(agent, asked["do"])(asked) or {}})
        except Exception as error:  # Whatever a client throws is an answer.
            _failed(asked, error)
    os._exit(0)
