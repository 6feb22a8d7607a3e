"""CSV and TSV files: a header, then one record a row, where a quoted field may hold newlines."""

import csv
import os
from collections import deque
from typing import Any

import msgspec

from penstock.errors import SourceBroken, SourceError
from penstock.models import Chunk, Position, Row
from penstock.sources.encoding import BOM, check_encoding, not_utf8
from penstock.sources.files import ByteFile, read_head
from penstock.sources.lines import LineBuffer, LongLine
from penstock.sources.prefix import HEAD_BYTES, FilePosition, FilePrefix, decode_position
from penstock.sources.protocol import MAX_CHUNK_BYTES, MAX_ROW_BYTES
from penstock.sources.records import NUL_BYTES, TOO_LONG, bad_row

LINES_AHEAD = 1000


class RecordLines:
    """Feeds lines to `csv.reader` and remembers which of them the current record took.

    `csv.reader` asks for exactly the lines that its next record has, so their bytes say where the record ends.
    Bytes that are not UTF-8 go through as surrogates and are found when the row is encoded.
    """

    def __init__(self, buffer: LineBuffer, prefix: FilePrefix, name: str) -> None:
        self.record: list[bytes] = []
        self._record_bytes = 0
        self._buffer = buffer
        self._ahead: deque[bytes] = deque()
        self._prefix = prefix
        self._name = name

    def begin(self) -> str:
        """Forget the lines of the last record; return where the next one stands."""
        self.record = []
        self._record_bytes = 0
        return f"{self._name}:{self._prefix.lines + 1}"

    def __iter__(self) -> "RecordLines":
        return self

    def __next__(self) -> str:
        if not self._ahead:
            self._ahead.extend(self._buffer.take(LINES_AHEAD))
        if not self._ahead:
            raise StopIteration
        line = self._ahead.popleft()
        self.record.append(line)
        self._record_bytes += len(line)
        if len(self.record) > 1 and (isinstance(line, LongLine) or self._record_bytes > MAX_ROW_BYTES):
            raise SourceBroken(
                f"{self._name}:{self._prefix.lines + 1}: a quote is opened here and not closed within "
                f"{MAX_ROW_BYTES // 2**20} MiB.",
                "Close it or take it away; the same command then goes on.",
            )
        if isinstance(line, LongLine):
            return "\n"
        if self._prefix.offset == 0 and len(self.record) == 1:
            line = line.removeprefix(BOM)
        return line.decode("utf-8", "surrogateescape")


class DelimitedFile:
    """A CSV or TSV file, plain or compressed, with a header."""

    total: int | None = None

    def __init__(self, path: str, kind: str, delimiter: str) -> None:
        self.name = path
        self._kind = kind
        self._delimiter = delimiter
        self._file: ByteFile | None = None

    def open(self, position: Position | None) -> dict[str, Any]:
        """Read the header, stand at `position` and return the identity."""
        # The limit is the process's own and 128 KiB by default, less than a long document; rows have their own cap.
        csv.field_size_limit(max(csv.field_size_limit(), MAX_ROW_BYTES))
        head = read_head(self.name, HEAD_BYTES)
        check_encoding(head, self.name)
        if self._kind == "csv":
            self._delimiter = sniff_delimiter(head)
        self._stand(None)
        self._header = self._read_header()
        if position is not None:
            self._stand(decode_position(position, FilePosition, self.name))
        return {"kind": self._kind, "path": os.path.abspath(self.name)}

    def read(self, limit: int) -> Chunk | None:
        """The next rows."""
        rows: list[Row] = []
        size = 0
        while len(rows) < limit and size < MAX_CHUNK_BYTES and (row := self._next_row()):
            rows.append(row)
            size += len(row.raw)
        return Chunk(rows, self._prefix.position()) if rows else None

    @property
    def size_bytes(self) -> int | None:
        """How long the file is, where its position says how much of it was read."""
        return self._file.size_bytes if self._file is not None else None

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _stand(self, place: FilePosition | None) -> None:
        self.close()
        self._file = ByteFile(self.name)
        self._prefix = FilePrefix.recover(self._file, place, self.name) if place else FilePrefix()
        self._lines = RecordLines(LineBuffer(self._file), self._prefix, self.name)
        self._records = csv.reader(self._lines, delimiter=self._delimiter, strict=True)

    def _read_header(self) -> list[str]:
        fields: list[str] = []
        where = self.name
        try:
            while not fields:
                where = self._lines.begin()
                fields = next(self._records)
                self._prefix.advance(self._lines.record)
        except StopIteration:
            return []
        except (csv.Error, SourceBroken) as error:
            raise SourceError(f"{where}: the header is not valid CSV: {error}.") from None
        return check_header(fields, where, self.name)

    def _next_row(self) -> Row | None:
        row: Row | None = None
        while row is None:
            where = self._lines.begin()
            try:
                row = self._make_row(next(self._records), where)
            except StopIteration:
                return None
            except csv.Error as error:
                row = bad_row(b"".join(self._lines.record), where, self._explain(error))
            self._prefix.advance(self._lines.record)
        return row

    def _make_row(self, fields: list[str], where: str) -> Row | None:
        record = b"".join(self._lines.record)
        if isinstance(self._lines.record[0], LongLine):
            return bad_row(record, where, TOO_LONG)
        if not fields:
            return None
        if b"\0" in record:
            return bad_row(record, where, NUL_BYTES)
        if len(fields) != len(self._header):
            return bad_row(record, where, f"The header has {len(self._header)} fields and this row {len(fields)}.")
        data = dict(zip(self._header, fields, strict=True))
        try:
            return Row(msgspec.json.encode(data), data, where)
        except UnicodeEncodeError:
            return bad_row(record, where, not_utf8(record, self.name))

    def _explain(self, error: csv.Error) -> str:
        lines = len(self._lines.record)
        if str(error) == "unexpected end of data":
            return f"A quote is opened here and never closed: all {lines} lines to the end of the file went into it."
        return f"It is not valid CSV: {error} (in line {self._prefix.lines + lines})."


def sniff_delimiter(head: bytes) -> str:
    """The delimiter of a `.csv` file: a semicolon where the header has those and no comma."""
    header = head.lstrip().partition(b"\n")[0]
    return ";" if b";" in header and b"," not in header else ","


def check_header(fields: list[str], where: str, name: str) -> list[str]:
    """The names of the columns. Raises `SourceError` where they are unfit to be the fields of a row."""
    header = [field.strip() for field in fields]
    line = "\n".join(fields).encode("utf-8", "surrogateescape")
    try:
        line.decode()
    except UnicodeDecodeError:
        raise SourceError(f"{where}: {not_utf8(line, name)}") from None
    if "" in header:
        raise SourceError(f"{where}: column {header.index('') + 1} has no name.", "Every column needs a name.")
    if double := next((field for field in header if header.count(field) > 1), None):
        raise SourceError(f"{where}: two columns are called {double!r}.", "Every column needs a name of its own.")
    return header


def csv_file(path: str) -> DelimitedFile:
    """A file of comma- or semicolon-separated values."""
    return DelimitedFile(path, "csv", ",")


def tsv_file(path: str) -> DelimitedFile:
    """A file of tab-separated values."""
    return DelimitedFile(path, "tsv", "\t")
