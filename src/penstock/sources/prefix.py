"""What has been read of a source: how much of it, and digests by which it is recognised when it is read again.

A file is recognised by the beginning and the end of what was read, so that reopening it can seek; it may grow behind
that. Standard input is read again in any case, so all of it is digested.
"""

from hashlib import blake2b
from typing import TypeVar

import msgspec

from penstock.errors import SourceError
from penstock.models import Position
from penstock.sources.files import ByteFile
from penstock.sources.lines import LineBuffer, LongLine

HEAD_BYTES = 64 * 1024
TAIL_BYTES = 4 * 1024
DIGEST_BYTES = 16

P = TypeVar("P", bound=msgspec.Struct)


class FilePosition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A place between two lines of a file, as bytes of its decompressed content.

    `lines` counts newlines before it. `head` and `tail` are digests of the first 64 KiB and the last 4 KiB before it.
    """

    offset: int
    lines: int
    head: str
    tail: str


class StreamPosition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A place between two lines of standard input, with a digest of everything before it."""

    lines: int
    digest: str


def decode_position(position: Position, kind: type[P], name: str) -> P:
    """`position` as the struct that it was made from. Raises `SourceError` when another kind of source wrote it."""
    try:
        return msgspec.convert(position, kind)
    except msgspec.ValidationError:
        raise not_the_same(name) from None


def not_the_same(name: str) -> SourceError:
    """The source does not lead to the position any more."""
    return SourceError(
        f"{name} is not what it was when this run read it: what comes before the place reached so far is different.",
        "Put the old content back to go on, or add --fresh to begin anew.",
    )


class FilePrefix:
    """The part of a file that has been read."""

    def __init__(self) -> None:
        self.offset = 0
        self.lines = 0
        self._head = blake2b(digest_size=DIGEST_BYTES)
        self._tail = b""

    @classmethod
    def recover(cls, file: ByteFile, position: FilePosition, name: str) -> "FilePrefix":
        """Read `file` from its beginning up to `position`. Raises `SourceError` when it is another file."""
        prefix = cls()
        head = file.read(min(HEAD_BYTES, position.offset))
        tail = head
        if position.offset > HEAD_BYTES:
            missing = min(TAIL_BYTES, position.offset - HEAD_BYTES)
            file.skip(position.offset - HEAD_BYTES - missing)
            tail += file.read(missing)
        prefix._advance(head, position.offset, tail)
        prefix.lines = position.lines
        if prefix._position() != position:
            raise not_the_same(name)
        return prefix

    def advance(self, lines: list[bytes]) -> None:
        """Count these lines, at least one, as read. Only the last may be a `LongLine`."""
        start = end = b"".join(lines)
        size = len(start)
        last = lines[-1]
        if isinstance(last, LongLine):
            size += last.size - len(last)
            end = b"".join(lines[:-1]) + last.end
        self._advance(start, size, end)
        self.lines += len(lines) - (not end.endswith(b"\n"))

    def position(self) -> Position:
        """Where the part that has been read ends."""
        position: Position = msgspec.to_builtins(self._position())
        return position

    def _position(self) -> FilePosition:
        tail = blake2b(self._tail, digest_size=DIGEST_BYTES).hexdigest()
        return FilePosition(self.offset, self.lines, self._head.hexdigest(), tail)

    def _advance(self, start: bytes, size: int, end: bytes) -> None:
        if self.offset < HEAD_BYTES:
            self._head.update(start[: HEAD_BYTES - self.offset])
        self.offset += size
        self._tail = (self._tail + end[-TAIL_BYTES:])[-TAIL_BYTES:]


class StreamPrefix:
    """The part of standard input that has been read."""

    def __init__(self) -> None:
        self.lines = 0
        self._digest = blake2b(digest_size=DIGEST_BYTES)

    @classmethod
    def recover(cls, buffer: LineBuffer, position: StreamPosition, name: str) -> "StreamPrefix":
        """Read lines up to `position`, or to the end of the input where that comes first.

        Raises `SourceError` when the lines are not the ones that were read before.
        """
        prefix = cls()
        while prefix.lines < position.lines:
            lines = buffer.take(min(1000, position.lines - prefix.lines))
            if not lines:
                return prefix
            prefix.advance(lines)
        if prefix._position() != position:
            raise not_the_same(name)
        return prefix

    def advance(self, lines: list[bytes]) -> None:
        """Count these lines as read."""
        for line in lines:
            # A last line that lacked its newline may have got it since.
            self._digest.update(line.rstrip(b"\r\n") + b"\n")
            if isinstance(line, LongLine):
                self._digest.update(line.end)
        self.lines += len(lines)

    def position(self) -> Position:
        """Where the part that has been read ends."""
        position: Position = msgspec.to_builtins(self._position())
        return position

    def _position(self) -> StreamPosition:
        return StreamPosition(self.lines, self._digest.hexdigest())
