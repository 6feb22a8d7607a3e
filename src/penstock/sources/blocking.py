"""Sources whose reading blocks: a plain, synchronous reader, moved to a thread chunk by chunk."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from penstock.errors import SourceBroken
from penstock.models import Chunk, Position
from penstock.sources.files import cannot_read

T = TypeVar("T")


class BlockingReader(Protocol):
    """A source without `async`: same promises, but it may block and raises `OSError` where its bytes cannot be read.

    It is called from one thread at a time.
    """

    name: str
    total: int | None
    """How many rows there are, where that is known after `open` without reading them."""

    @property
    def size_bytes(self) -> int | None:
        """How many bytes there are, where positions have an `offset` into them."""
        ...

    def open(self, position: Position | None) -> dict[str, Any]:
        """Stand at `position` and return the identity."""
        ...

    def read(self, limit: int) -> Chunk | None:
        """The next rows."""
        ...

    def close(self) -> None:
        """Let go of everything. Safe to call twice."""
        ...


class ThreadedSource:
    """A source over a blocking reader: one hop to a thread per chunk.

    A `read` that is cancelled loses nothing: the next one returns its chunk.
    """

    def __init__(self, reader: BlockingReader) -> None:
        self.name = reader.name
        self._reader = reader
        self._one_at_a_time = threading.Lock()
        self._pending: asyncio.Task[Chunk | None] | None = None

    @property
    def total(self) -> int | None:
        """How many rows there are, where that is cheap to know."""
        return self._reader.total

    @property
    def size_bytes(self) -> int | None:
        """How many bytes there are, where positions have an `offset` into them."""
        return self._reader.size_bytes

    async def open(self, position: Position | None) -> dict[str, Any]:
        """Stand at `position` and return the identity."""
        try:
            return await asyncio.to_thread(self._exclusively, self._reader.open, position)
        except OSError as error:
            raise cannot_read(self.name, error) from error

    async def read(self, limit: int) -> Chunk | None:
        """The next rows, at least one and at most `limit`; None at the end."""
        if self._pending is None:
            self._pending = asyncio.create_task(asyncio.to_thread(self._exclusively, self._reader.read, limit))
        try:
            chunk = await asyncio.shield(self._pending)
        except OSError as error:
            self._pending = None
            raise SourceBroken(cannot_read(self.name, error).message) from error
        except Exception:
            self._pending = None
            raise
        self._pending = None
        return chunk

    async def aclose(self) -> None:
        """Wait for a read that is under way, and let go of the file."""
        if self._pending is not None:
            await asyncio.gather(self._pending, return_exceptions=True)
            self._pending = None
        await asyncio.to_thread(self._exclusively, self._reader.close)

    def _exclusively(self, call: Callable[..., T], *arguments: Any) -> T:
        with self._one_at_a_time:
            return call(*arguments)
