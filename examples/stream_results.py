"""Take each result as it comes, from rows that are made on the way, and stop at will."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import penstock


async def questions() -> AsyncIterator[str]:
    """Rows may come from anywhere, and need not all be there at the start. A text is a prompt."""
    for number in range(1, 1001):
        yield f"What is {number} squared?"


async def main() -> None:
    """Print the first ten that are settled."""
    async with aclosing(penstock.stream(questions(), model="gpt-4o-mini", concurrency=20)) as results:
        count = 0
        async for result in results:
            count += 1
            print(count, result.data["prompt"], result.status)
            if count == 10:
                break


asyncio.run(main())
