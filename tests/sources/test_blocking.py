"""What a thread's `OSError` becomes."""

import asyncio
from typing import Any

import pytest

from penstock.errors import SourceBroken, SourceError
from penstock.models import Chunk, Position
from penstock.sources.blocking import ThreadedSource


class Unreadable:
    """A reader that fails with one error when it is opened or read."""

    name = "tasks.jsonl"
    total: int | None = None
    size_bytes: int | None = None

    def __init__(self, on_open: OSError | None, on_read: OSError) -> None:
        self._on_open = on_open
        self._on_read = on_read

    def open(self, position: Position | None) -> dict[str, Any]:
        """Fail, if that was asked for."""
        if self._on_open is not None:
            raise self._on_open
        return {}

    def read(self, limit: int) -> Chunk | None:
        """Fail."""
        raise self._on_read

    def close(self) -> None:
        """Nothing to let go of."""


async def _open_and_read(reader: Unreadable) -> None:
    source = ThreadedSource(reader)
    try:
        await source.open(None)
        await source.read(1)
    finally:
        await source.aclose()


def test_a_file_that_cannot_be_opened_is_a_source_error() -> None:
    """Nothing was sent yet: the error says what to look at."""
    reader = Unreadable(PermissionError(13, "Permission denied"), OSError())
    with pytest.raises(SourceError, match=r"tasks\.jsonl cannot be read: Permission denied\.\nCheck who may read it\."):
        asyncio.run(_open_and_read(reader))


def test_a_file_that_fails_later_pauses_the_run() -> None:
    """The run has begun: it pauses and can be resumed."""
    reader = Unreadable(None, OSError(5, "Input/output error"))
    with pytest.raises(SourceBroken, match=r"tasks\.jsonl cannot be read: Input/output error\.") as broken:
        asyncio.run(_open_and_read(reader))
    assert broken.value.exit_code == 3
