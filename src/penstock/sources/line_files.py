"""Files with one record a line: JSONL and plain text."""

import os
from collections.abc import Callable
from typing import Any, Protocol

from penstock.models import Chunk, Position, Row
from penstock.sources.encoding import BOM, check_encoding
from penstock.sources.files import ByteFile, read_head
from penstock.sources.lines import LineBuffer, LongLine
from penstock.sources.prefix import HEAD_BYTES, FilePosition, FilePrefix, decode_position
from penstock.sources.records import TOO_LONG, bad_row, decode_json_line, decode_text_line

DecodeLine = Callable[[bytes, str], Row | None]
"""From a line and where it stands to its row; None for a line that is none."""


class Prefix(Protocol):
    """What has been read of a stream of lines."""

    lines: int

    def advance(self, lines: list[bytes]) -> None:
        """Count these lines as read."""
        ...

    def position(self) -> Position:
        """Where the part that has been read ends."""
        ...


def read_line_chunk(buffer: LineBuffer, prefix: Prefix, decode: DecodeLine, name: str, limit: int) -> Chunk | None:
    """The next rows of a stream with one record a line; None at the end."""
    while lines := buffer.take(limit):
        first = prefix.lines + 1
        prefix.advance(lines)
        if isinstance(lines[0], LongLine):
            return Chunk([bad_row(lines[0], f"{name}:{first}", TOO_LONG)], prefix.position())
        if first == 1:
            lines[0] = lines[0].removeprefix(BOM)
        rows = [decode(line, f"{name}:{number}") for number, line in enumerate(lines, first)]
        if present := [row for row in rows if row is not None]:
            return Chunk(present, prefix.position())
    return None


class LineFile:
    """A file with one record a line, plain or compressed."""

    total: int | None = None

    def __init__(self, path: str, kind: str, decode: DecodeLine) -> None:
        self.name = path
        self._kind = kind
        self._decode = decode
        self._file: ByteFile | None = None

    def open(self, position: Position | None) -> dict[str, Any]:
        """Stand at `position` and return the identity."""
        self.close()
        check_encoding(read_head(self.name, HEAD_BYTES), self.name)
        self._file = ByteFile(self.name)
        self._prefix = FilePrefix()
        if position is not None:
            place = decode_position(position, FilePosition, self.name)
            self._prefix = FilePrefix.recover(self._file, place, self.name)
        self._buffer = LineBuffer(self._file)
        return {"kind": self._kind, "path": os.path.abspath(self.name)}

    def read(self, limit: int) -> Chunk | None:
        """The next rows."""
        return read_line_chunk(self._buffer, self._prefix, self._decode, self.name, limit)

    @property
    def size_bytes(self) -> int | None:
        """How long the file is, where its position says how much of it was read."""
        return self._file.size_bytes if self._file is not None else None

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def jsonl_file(path: str) -> LineFile:
    """A file of JSON objects, one a line."""
    return LineFile(path, "jsonl", decode_json_line)


def text_file(path: str) -> LineFile:
    """A file of prompts, one a line."""
    return LineFile(path, "txt", decode_text_line)
