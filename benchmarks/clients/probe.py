"""One call over one client, and how it ended, as JSON: `probe CLIENT URL [--short LIMIT | --cancelled]`.

With `--cancelled` the task that awaits the call is cancelled when a line comes on standard input; the process lives on
until standard input ends, for a client that closes its connections only then has not cancelled anything.
"""

import argparse
import asyncio
import json
import sys
from typing import Any

import uvloop
from benchmarks.clients.adapters import CLIENTS, Setting
from benchmarks.clients.load import BODY

SHORT_S = 1.0


def told(error: BaseException) -> dict[str, Any]:
    """What an error says of itself: its classes, its words, and pyreqwest's list of causes."""
    details = getattr(error, "details", None) or {}
    causes = [cause["message"] for cause in details.get("causes") or []]
    return {"classes": [kind.__name__ for kind in type(error).__mro__], "text": str(error), "causes": causes}


async def call(arguments: argparse.Namespace) -> dict[str, Any]:
    """Make the call to its end."""
    short: dict[str, float] = {arguments.short: SHORT_S}
    setting = Setting(1, None, **short)
    async with CLIENTS[arguments.client](setting) as post:
        try:
            status, _ = await post(arguments.url, BODY)
        except Exception as error:
            return told(error)
        return {"classes": [f"no error: status {status}"], "text": "", "causes": []}


async def cancel(arguments: argparse.Namespace) -> dict[str, Any]:
    """Begin the call, cancel it when told, and live on until told to end."""
    loop = asyncio.get_running_loop()
    async with CLIENTS[arguments.client](Setting(1)) as post:

        async def send() -> None:
            await post(arguments.url, BODY)

        sending = asyncio.create_task(send())
        await loop.run_in_executor(None, sys.stdin.readline)
        sending.cancel()
        await asyncio.wait([sending])
        await loop.run_in_executor(None, sys.stdin.read)
        return {"cancelled": sending.cancelled()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("client")
    parser.add_argument("url")
    parser.add_argument("--short", choices=["total_s", "connect_s", "read_s"], default="total_s")
    parser.add_argument("--cancelled", action="store_true")
    given = parser.parse_args()
    sys.stdout.write(json.dumps(uvloop.run((cancel if given.cancelled else call)(given))) + "\n")
