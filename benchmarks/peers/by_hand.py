"""What people write by hand: chunks of N tasks, `asyncio.gather` over each, a line appended to a file per answer.

The connector is aiohttp's default one, which holds 100 connections whatever N is.
"""

import asyncio
import json
from itertools import islice
from typing import Any

from aiohttp import ClientSession, ClientTimeout
from benchmarks.peers.job import MODEL, TIMEOUT_S, Job, read_job


async def ask(session: ClientSession, job: Job, messages: list[dict[str, Any]]) -> None:
    """Send one task and keep its answer."""
    async with session.post(job.url, json={"model": MODEL, "messages": messages}) as response:
        assert response.status == 200
        answer = await response.json()
    with job.output.open("a") as output:
        output.write(json.dumps({"task": messages, "answer": answer["choices"][0]["message"]["content"]}) + "\n")


async def main(job: Job) -> None:
    """Send every row, a chunk after the other."""
    rows = job.conversations()
    async with ClientSession(timeout=ClientTimeout(TIMEOUT_S)) as session:
        while chunk := list(islice(rows, job.concurrency)):
            await asyncio.gather(*(ask(session, job, messages) for messages in chunk))


if __name__ == "__main__":
    asyncio.run(main(read_job()))
