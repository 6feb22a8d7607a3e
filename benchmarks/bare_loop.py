"""The least that could do the work: 200 workers around one HTTP client, each answer read whole and thrown away.

It reads the same rows and sends the same bodies as the run that it is compared with, and keeps nothing.
"""

import asyncio
import json
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import uvloop
from pyreqwest.client import Client, ClientBuilder


def bodies(rows: Path) -> Iterator[bytes]:
    """The request of each row."""
    with rows.open("rb") as lines:
        for line in lines:
            message = {"role": "user", "content": "Classify: " + json.loads(line)["text"]}
            yield json.dumps({"model": "gpt-4o", "messages": [message]}, separators=(",", ":")).encode()


async def work(client: Client, url: str, todo: Iterator[bytes]) -> None:
    """Send what is left, one after the other."""
    for body in todo:
        response = await client.post(url).body_bytes(body).build().send()
        assert response.status == 200
        await response.bytes()


async def main(base_url: str, rows: Path, concurrency: int) -> None:
    """Send every row."""
    headers = {"content-type": "application/json"}
    builder = ClientBuilder().timeout(timedelta(seconds=60)).pool_max_idle_per_host(concurrency)
    todo = bodies(rows)
    async with builder.default_headers(headers).build() as client:
        await asyncio.gather(*(work(client, f"{base_url}/chat/completions", todo) for _ in range(concurrency)))


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))
