"""What a source of tasks promises."""

from typing import Any, Protocol

from penstock.models import Chunk, Position

MAX_ROW_BYTES = 32 * 1024 * 1024
"""A longer record becomes a bad row: one line must not fill the memory."""
MAX_CHUNK_BYTES = 4 * 1024 * 1024
"""`read` returns early once a chunk holds this much."""


class Source(Protocol):
    """Rows in a fixed order, read lazily, from any position that it returned before.

    A bad *record* is a `Row` with an `error`; a bad *source* raises `SourceError` from `open`, before anything is sent.
    A source that stops answering later raises `SourceBroken` from `read`.
    """

    name: str
    """What a person calls it: the path or URL as given, without any password."""

    @property
    def total(self) -> int | None:
        """How many rows there are, where an open source knows that without reading them."""
        ...

    @property
    def size_bytes(self) -> int | None:
        """How many bytes there are, where positions have an `offset` into them."""
        ...

    async def open(self, position: Position | None) -> dict[str, Any]:
        """Stand at `position` (None: the beginning) and return the source's identity.

        The identity is small, plain JSON; the journal keeps that of the first `open`. Raises `SourceError` when the
        source does not lead to `position` any more (shorter, or other content before it).
        """
        ...

    async def read(self, limit: int) -> Chunk | None:
        """The next rows, at least one and at most `limit`; None at the end."""
        ...

    async def aclose(self) -> None:
        """Let go of files and connections. Safe to call twice."""
        ...
