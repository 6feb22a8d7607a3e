"""So many calls over one client, so many at once, always with the same body: `load CLIENT URL COUNT CONCURRENCY`."""

import argparse
import asyncio
import json
from collections.abc import Iterator

import uvloop
from benchmarks.clients.adapters import CLIENTS, Post, Setting

MESSAGE = {"role": "user", "content": "Classify: The quick brown fox jumps over the lazy dog and goes home."}
BODY = json.dumps({"model": "gpt-4o", "messages": [MESSAGE]}).encode()


async def work(post: Post, url: str, todo: Iterator[int]) -> None:
    """Send what is left, one after the other."""
    for _ in todo:
        status, _ = await post(url, BODY)
        assert status == 200


async def main(arguments: argparse.Namespace) -> None:
    """Send them all."""
    setting = Setting(arguments.concurrency, arguments.ca_file)
    todo = iter(range(arguments.count))
    async with CLIENTS[arguments.client](setting) as post:
        await asyncio.gather(*(work(post, arguments.url, todo) for _ in range(arguments.concurrency)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("client")
    parser.add_argument("url")
    parser.add_argument("count", type=int)
    parser.add_argument("concurrency", type=int)
    parser.add_argument("--ca-file")
    uvloop.run(main(parser.parse_args()))
