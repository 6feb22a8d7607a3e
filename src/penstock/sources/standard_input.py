"""JSONL on standard input, plain or compressed: rows are handed on as they come."""

import os
import select
import sys
from typing import Any, BinaryIO

from penstock.errors import SourceBroken, SourceError
from penstock.models import Chunk, Position
from penstock.sources.blocking import ThreadedSource
from penstock.sources.files import SniffedStream
from penstock.sources.line_files import read_line_chunk
from penstock.sources.lines import LineBuffer
from penstock.sources.prefix import StreamPosition, StreamPrefix, decode_position
from penstock.sources.records import decode_json_line

NAME = "stdin"


class InterruptibleInput:
    """What there is to read on a file descriptor; waiting for it can be ended from another thread."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._wake_reader, self._wake_writer = os.pipe()
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self._poll.register(self._wake_reader, select.POLLIN)

    def read(self, size: int) -> bytes:
        """At least one byte, or nothing at the end."""
        ready = [descriptor for descriptor, _ in self._poll.poll()]
        if self._wake_reader in ready:
            raise SourceBroken(f"{NAME} was closed while it was read.")
        return os.read(self._descriptor, size)

    def interrupt(self) -> None:
        """End a `read` that waits, and every later one."""
        os.write(self._wake_writer, b"!")

    def close(self) -> None:
        """Let go of what was needed for waiting; the input itself stays open."""
        os.close(self._wake_reader)
        os.close(self._wake_writer)


class InputReader:
    """The lines of an input that cannot be read twice: going on means reading the same lines once more."""

    name = NAME
    total: int | None = None
    size_bytes: int | None = None

    def __init__(self, stream: BinaryIO | None) -> None:
        self._stream = stream
        self._input: InterruptibleInput | None = None

    def open(self, position: Position | None) -> dict[str, Any]:
        """Read on to `position` and return the identity."""
        stream = self._stream or getattr(sys.stdin, "buffer", None)
        if stream is None:
            raise SourceError("There is no standard input.")
        self._input = InterruptibleInput(stream.fileno())
        self._buffer = LineBuffer(SniffedStream(self._input))
        self._prefix = StreamPrefix()
        if position is not None:
            place = decode_position(position, StreamPosition, NAME)
            self._prefix = StreamPrefix.recover(self._buffer, place, NAME)
        return {"kind": "stdin"}

    def read(self, limit: int) -> Chunk | None:
        """The next rows, as soon as there is one."""
        return read_line_chunk(self._buffer, self._prefix, decode_json_line, NAME, limit)

    def interrupt(self) -> None:
        """End a read that waits for input."""
        if self._input is not None:
            self._input.interrupt()

    def close(self) -> None:
        """Stop reading; the input itself stays open."""
        if self._input is not None:
            self._input.close()
            self._input = None


class StandardInput(ThreadedSource):
    """JSONL on standard input, plain or compressed, or on any `stream` that has a file descriptor."""

    def __init__(self, stream: BinaryIO | None = None) -> None:
        self._input_reader = InputReader(stream)
        super().__init__(self._input_reader)

    async def aclose(self) -> None:
        """End a read that waits for input, and stop."""
        self._input_reader.interrupt()
        await super().aclose()
