"""Reading a source to its end, for the tests of every kind."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from penstock.models import Chunk, Position, Row
from penstock.sources.registry import make_source

ReadChunks = Callable[..., list[Chunk]]
ReadRows = Callable[..., list[Row]]


@pytest.fixture
def read_chunks() -> ReadChunks:
    """Makes a source of its argument and reads every chunk from `position` on."""

    async def read(spec: Any, position: Position | None, limit: int) -> list[Chunk]:
        source = make_source(spec)
        try:
            await source.open(position)
            chunks = []
            while (chunk := await source.read(limit)) is not None:
                chunks.append(chunk)
            return chunks
        finally:
            await source.aclose()

    return lambda spec, position=None, limit=100: asyncio.run(read(spec, position, limit))


@pytest.fixture
def read_rows(read_chunks: ReadChunks) -> ReadRows:
    """The same, as rows."""
    return lambda *arguments, **options: [row for chunk in read_chunks(*arguments, **options) for row in chunk.rows]
