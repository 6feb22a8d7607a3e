"""The least that could do the work with Penstock's own HTTP client: N workers, each answer read whole and thrown away.

It reads the same rows, a row at a time, and sends the same bodies. It keeps nothing, decodes nothing, retries nothing.
"""

import asyncio
from collections.abc import Iterator
from datetime import timedelta

import uvloop
from benchmarks.peers.job import TIMEOUT_S, Job, read_job
from pyreqwest.client import Client, ClientBuilder


async def work(client: Client, url: str, todo: Iterator[bytes]) -> None:
    """Send what is left, one after the other."""
    for body in todo:
        response = await client.post(url).body_bytes(body).build().send()
        assert response.status == 200
        await response.bytes()


async def main(job: Job) -> None:
    """Send every row."""
    builder = ClientBuilder().http1_only().timeout(timedelta(seconds=TIMEOUT_S))
    builder = builder.pool_max_idle_per_host(job.concurrency).default_headers({"content-type": "application/json"})
    if job.authority:
        builder = builder.add_root_certificate_pem(job.authority)
    todo = job.bodies()
    async with builder.build() as client:
        await asyncio.gather(*(work(client, job.url, todo) for _ in range(job.concurrency)))


if __name__ == "__main__":
    uvloop.run(main(read_job()))
