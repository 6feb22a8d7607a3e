"""Splitting a stream of bytes into lines, in blocks, without ever holding more than one line beyond the cap."""

import io
from itertools import islice
from typing import Protocol

from penstock.sources.protocol import MAX_ROW_BYTES

BLOCK_BYTES = 1024 * 1024
EDGE_BYTES = 64 * 1024
"""How much is kept of either end of a line that is too long."""


class ByteStream(Protocol):
    """What lines are made of."""

    def read(self, size: int) -> bytes:
        """At least one byte and at most `size`; nothing at the end."""
        ...


class LongLine(bytes):
    """The first bytes of a line that is longer than allowed, with its true `size` and its last bytes."""

    size: int
    end: bytes


class LineBuffer:
    """The lines of a stream, each with its newline; only the last one may lack it.

    `max_line_bytes` is not less than a block of the stream.
    """

    def __init__(self, stream: ByteStream, max_line_bytes: int = MAX_ROW_BYTES) -> None:
        self._stream = stream
        self._max_line_bytes = max_line_bytes
        self._lines = io.BytesIO()
        self._open: list[bytes] = []

    def take(self, limit: int) -> list[bytes]:
        """The next lines, at least one and at most `limit`; none at the end.

        Returns what there is without waiting for more. A line that is too long is a `LongLine` and comes alone.
        """
        while True:
            if lines := list(islice(self._lines, limit)):
                return lines
            block = self._stream.read(BLOCK_BYTES)
            end = block.find(b"\n") + 1
            if sum(map(len, self._open)) + (end or len(block)) > self._max_line_bytes:
                return [self._long_line(block, end)]
            self._open.append(block)
            if not block:
                last = b"".join(self._open)
                self._open = []
                return [last] if last else []
            if end:
                self._split(b"".join(self._open))

    def _split(self, data: bytes) -> None:
        complete = data.rfind(b"\n") + 1
        self._lines, self._open = io.BytesIO(data[:complete]), [data[complete:]]

    def _long_line(self, block: bytes, end: int) -> LongLine:
        seen = b"".join(self._open)
        line = LongLine((seen + block[: end or None])[:EDGE_BYTES])
        line.size = len(seen)
        tail = seen[-EDGE_BYTES:]
        while block and not end:
            line.size += len(block)
            tail = (tail + block)[-EDGE_BYTES:]
            block = self._stream.read(BLOCK_BYTES)
            end = block.find(b"\n") + 1
        line.size += end
        line.end = (tail + block[:end])[-EDGE_BYTES:]
        self._split(block[end:])
        return line
