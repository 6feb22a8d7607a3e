"""Any Python iterable or async iterable as a source."""

from collections.abc import AsyncIterable, Iterable, Sized
from hashlib import blake2b
from typing import Any

import msgspec

from penstock.errors import SourceError
from penstock.models import Chunk, Position, Row
from penstock.sources.prefix import decode_position
from penstock.sources.pumps import Pump, TaskPump, ThreadPump
from penstock.sources.records import encode_row

SKIP_ROWS = 1000


class RowsPosition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A place between two rows: how many come before it, and a digest of them in order."""

    rows: int
    digest: str


class IterableSource:
    """Rows from Python: dicts, or strings, each of which is a prompt.

    Rows are handed on as they come: an iterable that waits for its next row holds nothing back. Going on from a
    position reads again as many rows as were read before, and refuses others in their place.
    """

    size_bytes: int | None = None

    def __init__(self, rows: Iterable[object] | AsyncIterable[object], name: str = "rows") -> None:
        self.name = name
        self.total: int | None = len(rows) if isinstance(rows, Sized) else None
        self._rows = rows
        self._count = 0
        self._digest = blake2b(digest_size=8)
        self._pump: Pump | None = None

    async def open(self, position: Position | None) -> dict[str, Any]:
        """Skip the rows before `position` and return the identity."""
        await self.aclose()
        self._count = 0
        self._digest = blake2b(digest_size=8)
        self._pump = self._start()
        if position is not None:
            await self._skip_to(decode_position(position, RowsPosition, self.name))
        return {"kind": "iterable"}

    async def _skip_to(self, place: RowsPosition) -> None:
        while (left := place.rows - self._count) > 0:
            if not await self._take(min(left, SKIP_ROWS)):
                raise SourceError(f"{self.name} ended {left} rows before the place that this run had reached.")
        if self._digest.hexdigest() != place.digest:
            raise SourceError(
                f"{self.name}: these are not the rows that this run began with.",
                "Give the run another name, or begin anew with fresh=True (--fresh).",
            )

    async def _take(self, limit: int) -> list[Row]:
        rows = await self._pump.take(limit) if self._pump is not None else []
        self._count += len(rows)
        for row in rows:
            self._digest.update(b"%d:" % len(row.raw) + row.raw)
        return rows

    async def read(self, limit: int) -> Chunk | None:
        """The rows that are ready, at least one and at most `limit`; None at the end."""
        rows = await self._take(limit)
        return Chunk(rows, {"rows": self._count, "digest": self._digest.hexdigest()}) if rows else None

    async def aclose(self) -> None:
        """Stop taking rows, and close a generator."""
        if self._pump is not None:
            await self._pump.aclose()
            self._pump = None

    def _start(self) -> Pump:
        made = 0

        def make_row(item: object) -> Row:
            nonlocal made
            made += 1
            return encode_row(item, f"row {made}")

        if isinstance(self._rows, AsyncIterable):
            return TaskPump(self._rows, make_row)
        return ThreadPump(self._rows, make_row)
