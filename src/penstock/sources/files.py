"""Content as bytes, decompressed on the way. Damage is an `OSError`, whatever the compression calls it."""

import gzip
import importlib
import os
import zlib
from collections.abc import Callable
from typing import Any

import msgspec

from penstock.errors import MissingExtra, SourceError
from penstock.sources.lines import ByteStream

_SKIP_BYTES = 1024 * 1024
_SNIFF_BYTES = 64 * 1024
_PERMISSION_HINT = "Check who may read it."


class Opened(msgspec.Struct, frozen=True):
    """Content open for reading as a binary file, and what its `read` raises where it is damaged or cut short."""

    file: Any
    damage: tuple[type[Exception], ...] = ()


class Compression(msgspec.Struct, frozen=True):
    """How content is compressed: the bytes by which it begins, and what opens a path or a `ByteStream` of it."""

    magic: bytes
    open: Callable[[Any], Opened]


def _open_gzip(compressed: Any) -> Opened:
    return Opened(gzip.open(compressed, "rb"), (EOFError, zlib.error))


def _open_zstd(compressed: Any) -> Opened:
    zstd = load_zstd()
    return Opened(zstd.open(compressed, "rb"), (EOFError, zstd.ZstdError))


COMPRESSIONS = {
    ".gz": Compression(b"\x1f\x8b", _open_gzip),
    ".zst": Compression(b"\x28\xb5\x2f\xfd", _open_zstd),
}
"""Every compression under the extension that it adds to a file's name."""


def without_compression(path: str) -> str:
    """The path without `.gz` or `.zst` behind it: what its extension then says is what is inside."""
    return path.removesuffix(_compression_extension(path))


def _compression_extension(path: str) -> str:
    extension = os.path.splitext(path)[1]
    return extension if extension.lower() in COMPRESSIONS else ""


class ByteFile:
    """A file open for reading from its beginning to its end. Raises `OSError`, or `MissingExtra` for `.zst`."""

    def __init__(self, path: str) -> None:
        extension = _compression_extension(path).lower()
        self._seekable = not extension
        opened = COMPRESSIONS[extension].open(path) if extension else Opened(open(path, "rb"))  # noqa: SIM115 - close()
        self._file, self._damage = opened.file, opened.damage

    @property
    def size_bytes(self) -> int | None:
        """How long the file is now; None where it is compressed, which does not tell how much is to be read."""
        return os.fstat(self._file.fileno()).st_size if self._seekable else None

    def read(self, size: int) -> bytes:
        """The next `size` bytes, fewer only at the end."""
        try:
            data: bytes = self._file.read(size)
        except self._damage as error:
            raise _damaged(error) from error
        return data

    def skip(self, count: int) -> None:
        """Go `count` bytes ahead; beyond the end there is nothing to read."""
        if self._seekable:
            self._file.seek(count, os.SEEK_CUR)
            return
        while count > 0 and (block := self.read(min(count, _SKIP_BYTES))):
            count -= len(block)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


class SniffedStream:
    """A stream of bytes, decompressed where its first bytes say that it is compressed. It waits for no more than it
    needs."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._opened: Opened | None = None

    def read(self, size: int) -> bytes:
        """At least one byte and at most `size`; nothing at the end. Raises `OSError`, or `MissingExtra` for zstd."""
        if self._opened is None:
            self._opened = self._open()
        try:
            data: bytes = self._opened.file.read1(size)
        except self._opened.damage as error:
            raise _damaged(error) from error
        return data

    def _open(self) -> Opened:
        magics = [compression.magic for compression in COMPRESSIONS.values()]
        head = b""
        while any(magic.startswith(head) and magic != head for magic in magics):
            block = self._stream.read(_SNIFF_BYTES)
            if not block:
                break
            head += block
        stream = _Replayed(head, self._stream)
        for compression in COMPRESSIONS.values():
            if head.startswith(compression.magic):
                return compression.open(stream)
        return Opened(stream)


class _Replayed:
    """A stream whose first bytes were read already."""

    def __init__(self, head: bytes, stream: ByteStream) -> None:
        self._head = head
        self._stream = stream

    def read(self, size: int) -> bytes:
        data, self._head = self._head[:size], self._head[size:]
        return data or self._stream.read(size)

    read1 = read


def _damaged(error: Exception) -> OSError:
    return OSError(f"damaged or cut short: {error}")


def load_zstd() -> Any:
    """The module of Zstandard: in the standard library from Python 3.14 on, before that an extra."""
    for module in ("compression.zstd", "backports.zstd"):
        try:
            return importlib.import_module(module)
        except ImportError:
            continue
    raise MissingExtra("Zstandard files", "zstd")


def read_head(path: str, size: int) -> bytes:
    """The first `size` bytes of a file's content, fewer only where there are no more."""
    file = ByteFile(path)
    try:
        return file.read(size)
    finally:
        file.close()


def cannot_read(name: str, error: OSError | ValueError) -> SourceError:
    """The `SourceError` for a path that cannot be opened or read."""
    reason = getattr(error, "strerror", None) or str(error)
    hint = _PERMISSION_HINT if isinstance(error, PermissionError) else None
    return SourceError(f"{name} cannot be read: {reason}.", hint)
