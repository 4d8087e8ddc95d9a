"""Runs Autobahn's WebSocket cases against an echo, and prints one JSON line for each: case, verdict, how it closed, why."""

import asyncio
import json
import sys

from kosoku import FailureError, run_fuzzingclient


async def main() -> None:
    asked = json.loads(sys.argv[1])
    try:
        results = await run_fuzzingclient(asked["url"], exclude_cases=asked["without"])
    except FailureError as failure:
        results = failure.results
    for result in results:
        line = {
            "case": result.case_id,
            "verdict": result.behavior.value,
            "closed": result.behavior_close.value,
            "code": result.remote_close_code,
            "why": f"{result.result} {result.result_close}",
        }
        print(json.dumps(line))


asyncio.run(main())
