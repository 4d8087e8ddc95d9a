"""Lines of a history, as the ledger reads them: one JSON object per line on standard output."""

import hashlib
import json
import os
import sys
import threading

_lock = threading.Lock()


def asked():
    """What the test asks for: one JSON object, the only argument."""
    return json.loads(sys.argv[1])


def say(ev, **fields):
    """Writes one line at once: what a test waits for must not lie in a buffer."""
    line = json.dumps({"ev": ev, **fields}, separators=(",", ":"))
    with _lock:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def note(text):
    """A remark for whoever reads a failed run."""
    print(text, file=sys.stderr, flush=True)


def payload(stream, n, size=150):
    """Publication n of a stream, padded to about `size` bytes, the same bytes each time."""
    seed = f"{stream}/{n}/".encode()
    pad = hashlib.sha256(seed).hexdigest() * (size // 64 + 1)
    bare = json.dumps({"stream": stream, "n": n, "pad": ""}, separators=(",", ":"))
    body = {"stream": stream, "n": n, "pad": pad[: max(0, size - len(bare))]}
    return json.dumps(body, separators=(",", ":")).encode()


def digest(data):
    return hashlib.sha256(data).hexdigest()[:16]


def delivered(reader, data):
    """Enters one delivery; what is not one of a stream's publications is entered as a mark."""
    try:
        body = json.loads(data)
        stream, n = body["stream"], body["n"]
    except (ValueError, TypeError, KeyError):
        say("mark", what=f"{reader} got {data[:200].decode('utf-8', 'replace')}")
        return
    say("delivered", reader=reader, stream=stream, n=n, digest=digest(data))


def end_with_the_test():
    """A client lives as long as its standard input is open, so that none outlives a killed test."""

    def watch():
        # Past Python's buffers: a thread that holds their lock aborts the interpreter at its end.
        while os.read(0, 4096):
            pass
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()
