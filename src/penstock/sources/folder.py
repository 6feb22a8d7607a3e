"""A folder of text files, plain or compressed: one prompt a file, in the order of their names."""

import os
from collections.abc import Iterator
from hashlib import blake2b
from itertools import islice
from typing import Any

import msgspec

from penstock.errors import SourceError
from penstock.models import Chunk, Position, Row
from penstock.sources.encoding import BOM
from penstock.sources.files import read_head, without_compression
from penstock.sources.prefix import DIGEST_BYTES, decode_position, not_the_same
from penstock.sources.protocol import MAX_CHUNK_BYTES, MAX_ROW_BYTES
from penstock.sources.records import TOO_LONG, bad_row, decode_text

TEXT_EXTENSIONS = (".txt", ".text", ".md", ".markdown", ".rst", ".html", ".htm", ".srt", ".vtt", ".tex")


class FolderPosition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A place between two files: how many come before it, and a digest of their paths."""

    files: int
    digest: str


class Folder:
    """Every text file under a folder; hidden files and folders and linked folders are left out."""

    total: int | None = None
    size_bytes: int | None = None

    def __init__(self, path: str) -> None:
        self.name = path
        self._paths: Iterator[str] = iter(())

    def open(self, position: Position | None) -> dict[str, Any]:
        """Stand at `position` and return the identity."""
        check_folder(self.name)
        self._paths = walk(self.name)
        self._files = 0
        self._digest = blake2b(digest_size=DIGEST_BYTES)
        if position is not None:
            place = decode_position(position, FolderPosition, self.name)
            for path in islice(self._paths, place.files):
                self._advance(path)
            if self._position() != place:
                raise not_the_same(self.name)
        return {"kind": "folder", "path": os.path.abspath(self.name)}

    def read(self, limit: int) -> Chunk | None:
        """The next rows."""
        rows: list[Row] = []
        size = 0
        while len(rows) < limit and size < MAX_CHUNK_BYTES and (path := next(self._paths, None)):
            rows.append(self._read_file(path))
            size += len(rows[-1].raw)
            self._advance(path)
        return Chunk(rows, msgspec.to_builtins(self._position())) if rows else None

    def close(self) -> None:
        """Leave the folder."""
        self._paths = iter(())

    def _advance(self, path: str) -> None:
        self._files += 1
        self._digest.update(os.fsencode(path) + b"\0")

    def _position(self) -> FolderPosition:
        return FolderPosition(self._files, self._digest.hexdigest())

    def _read_file(self, path: str) -> Row:
        shown = os.fsencode(path).decode("utf-8", "replace")
        where = os.path.join(self.name, shown)
        try:
            text = read_head(os.path.join(self.name, path), MAX_ROW_BYTES + 1)
        except OSError as error:
            return bad_row(b"", where, f"It cannot be read: {error.strerror or error}.")
        if len(text) > MAX_ROW_BYTES:
            return bad_row(text, where, TOO_LONG)
        if not text.strip():
            return bad_row(text, where, "It is empty.")
        return decode_text(text.removeprefix(BOM), where, where, {"path": shown, "id": shown})


def check_folder(folder: str) -> None:
    """Raise `SourceError` where a folder has no text file."""
    if next(walk(folder), None) is None:
        raise SourceError(
            f"{folder} has no text files.",
            f"A folder is read for files ending in {', '.join(TEXT_EXTENSIONS)}, also with .gz or .zst behind; "
            "name any other file itself.",
        )


def walk(folder: str, below: str = "") -> Iterator[str]:
    """The text files under `folder`, by name within each folder, as paths relative to it."""
    with os.scandir(os.path.join(folder, below)) as scan:
        entries = sorted((entry for entry in scan if not entry.name.startswith(".")), key=lambda entry: entry.name)
    for entry in entries:
        path = below + entry.name
        if entry.is_dir(follow_symlinks=False):
            yield from walk(folder, path + "/")
        elif entry.is_file() and without_compression(entry.name).lower().endswith(TEXT_EXTENSIONS):
            yield path
