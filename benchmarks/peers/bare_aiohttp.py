"""The least that could do the work with aiohttp: N workers, as many connections, each answer read and thrown away."""

import asyncio
import ssl
from collections.abc import Iterator

import uvloop
from aiohttp import ClientSession, ClientTimeout, TCPConnector
from benchmarks.peers.job import TIMEOUT_S, Job, read_job


async def work(session: ClientSession, url: str, todo: Iterator[bytes]) -> None:
    """Send what is left, one after the other."""
    for body in todo:
        async with session.post(url, data=body) as response:
            assert response.status == 200
            await response.read()


async def main(job: Job) -> None:
    """Send every row."""
    trust = ssl.create_default_context(cafile=job.ca_file) if job.ca_file else True
    connector = TCPConnector(limit=job.concurrency, ssl=trust)
    todo = job.bodies()
    headers = {"content-type": "application/json"}
    async with ClientSession(connector=connector, headers=headers, timeout=ClientTimeout(TIMEOUT_S)) as session:
        await asyncio.gather(*(work(session, job.url, todo) for _ in range(job.concurrency)))


if __name__ == "__main__":
    uvloop.run(main(read_job()))
