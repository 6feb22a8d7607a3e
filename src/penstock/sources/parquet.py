"""Parquet files, by pyarrow, which is imported when the first one is opened."""

import os
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

import msgspec

from penstock.errors import MissingExtra, SourceError
from penstock.models import Chunk, Position, Row
from penstock.sources.prefix import DIGEST_BYTES, decode_position, not_the_same
from penstock.sources.protocol import MAX_CHUNK_BYTES
from penstock.sources.records import encode_row

BATCH_ROWS = 512
FOOTER_BYTES = 64 * 1024


class ParquetPosition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A place between two rows, and a digest of the end of the file, where its schema and row groups are written."""

    rows: int
    footer: str


class ParquetFile:
    """A Parquet file; its columns are the fields of the rows."""

    size_bytes: int | None = None

    def __init__(self, path: str) -> None:
        self.name = path
        self.total: int | None = None
        self._file: Any = None

    def open(self, position: Position | None) -> dict[str, Any]:
        """Stand at `position` and return the identity."""
        self.close()
        self._arrow, parquet = load_pyarrow()
        try:
            self._file = parquet.ParquetFile(self.name)
        except self._arrow.ArrowException as error:
            raise SourceError(f"{self.name} is not a Parquet file: {error}.") from error
        self._check_columns()
        self.total = self._file.metadata.num_rows
        self._row = 0
        self._footer = digest_footer(self.name)
        if position is not None:
            place = decode_position(position, ParquetPosition, self.name)
            if place.footer != self._footer:
                raise not_the_same(self.name)
            self._row = place.rows
        self._records = self._iterate(self._row)
        return {"kind": "parquet", "path": os.path.abspath(self.name)}

    def read(self, limit: int) -> Chunk | None:
        """The next rows."""
        rows: list[Row] = []
        size = 0
        while len(rows) < limit and size < MAX_CHUNK_BYTES and (record := self._next_record()):
            self._row += 1
            rows.append(encode_row(record, f"{self.name}:row {self._row}"))
            size += len(rows[-1].raw)
        return Chunk(rows, msgspec.to_builtins(ParquetPosition(self._row, self._footer))) if rows else None

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()

    def _check_columns(self) -> None:
        names = self._file.schema_arrow.names
        if not names:
            raise SourceError(f"{self.name} has no columns.")
        if double := next((name for name in names if names.count(name) > 1), None):
            raise SourceError(f"{self.name}: two columns are called {double!r}.")

    def _next_record(self) -> dict[str, Any] | None:
        try:
            return next(self._records, None)
        except (self._arrow.ArrowException, UnicodeDecodeError) as error:
            raise OSError(f"damaged after row {self._row}: {error}") from error

    def _iterate(self, skip: int) -> Iterator[dict[str, Any]]:
        metadata = self._file.metadata
        group = 0
        while group < metadata.num_row_groups and skip >= metadata.row_group(group).num_rows:
            skip -= metadata.row_group(group).num_rows
            group += 1
        for batch in self._file.iter_batches(BATCH_ROWS, row_groups=range(group, metadata.num_row_groups)):
            if skip < batch.num_rows:
                yield from batch.slice(skip).to_pylist()
            skip = max(0, skip - batch.num_rows)


def load_pyarrow() -> tuple[Any, Any]:
    """The modules `pyarrow` and `pyarrow.parquet`. Raises `MissingExtra`."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise MissingExtra("Parquet files", "parquet") from None
    return pyarrow, parquet


def digest_footer(path: str) -> str:
    """A digest of the end of a file."""
    with open(path, "rb") as file:
        file.seek(max(0, os.path.getsize(path) - FOOTER_BYTES))
        return blake2b(file.read(), digest_size=DIGEST_BYTES).hexdigest()
