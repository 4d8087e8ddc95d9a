"""Runs Autobahn's WebSocket cases against an echo, and prints one JSON line for each: case, verdict, how it closed, why.

Each case has a channel of its own below the URL: what one of them said last comes back to no other."""

import asyncio
import json
import os
import sys

from kosoku import FailureError, run_fuzzingclient


async def run(url: str, **which: list[str]) -> list:
    try:
        return await run_fuzzingclient(url, **which)
    except FailureError as failure:
        return failure.results


async def main() -> None:
    asked = json.loads(sys.argv[1])
    # Where nobody listens every case fails at once: so it is known which there are.
    known = await run("ws://127.0.0.1:1/", exclude_cases=asked["without"])
    for case in [result.case_id for result in known]:
        for result in await run(f"{asked['url']}/{case}", cases=[case]):
            line = {
                "case": result.case_id,
                "verdict": result.behavior.value,
                "closed": result.behavior_close.value,
                "code": result.remote_close_code,
                "why": f"{result.result} {result.result_close}",
            }
            print(json.dumps(line), flush=True)


asyncio.run(main())
# Its threads do not survive the interpreter's end.
os._exit(0)
