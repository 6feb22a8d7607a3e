"""CSV and TSV for spreadsheets: the row's own columns, then those of the result.

UTF-8 with a byte order mark, without which Excel misreads Chinese. A cell that a spreadsheet would run as a formula
gets an apostrophe in front (https://owasp.org/www-community/attacks/CSV_Injection); control characters are left out.
"""

import codecs
import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from penstock.models import Result
from penstock.redaction import printable
from penstock.sinks.lines import COLUMNS

COLLISION_SUFFIX = "_result"
"""Added to a result's column where the row has one of the same name."""

_FORMULA = re.compile(r"[\t\r]|\s*[=+\-@＝＋－＠]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


class _Lines:
    """What `csv.writer` writes to: `writerow` returns what `write` returns, here the line itself."""

    @staticmethod
    def write(line: str) -> str:
        return line


class CsvRows:
    """The layout of `.csv` and `.tsv` files.

    The header has the columns of the first batch. Columns that rows bring later are remembered, and they stand in the
    file once it is begun again, which `FileSink` does at the end.
    """

    index_of = None
    """A line may bring a column that the header lacks, so the lines cannot stay as they are."""

    def __init__(self, delimiter: str = ",") -> None:
        self._writer = csv.writer(_Lines, delimiter=delimiter, lineterminator="\n")
        self._columns: dict[str, None] = {}
        self._header: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether the header has every column that rows brought."""
        return len(self._header) == len(self._columns)

    def start(self, results: Sequence[Result]) -> bytes:
        """The byte order mark and the header."""
        for result in results:
            self._columns.update(dict.fromkeys(result.data))
        self._header = tuple(self._columns)
        return codecs.BOM_UTF8 + self._encode([*self._header, *_result_columns(self._header)])

    def line(self, result: Result) -> bytes:
        """The cells of one answer."""
        row = result.data
        self._columns.update(dict.fromkeys(row))
        return self._encode([*map(row.get, self._header), *(value(result) for value in COLUMNS.values())])

    def dump(self) -> dict[str, Any]:
        """All columns so far, and how many of them stand in the header."""
        return {"columns": list(self._columns), "header": len(self._header)}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take up the columns of an earlier process."""
        self._columns = dict.fromkeys(state.get("columns", ()))
        self._header = tuple(self._columns)[: state.get("header", 0)]

    def _encode(self, values: Iterable[Any]) -> bytes:
        line: str = self._writer.writerow([cell(value) for value in values])
        return line.encode()


def cell(value: Any) -> str:
    """What stands in a cell: text as it is but harmless, nothing for null, JSON for everything else."""
    if value is None:
        return ""
    if not isinstance(value, str):
        return msgspec.json.encode(value).decode()
    if _FORMULA.match(value) and not _NUMBER.fullmatch(value):
        value = "'" + value
    return printable(value)


def _result_columns(taken: Sequence[str]) -> Iterator[str]:
    names = set(taken)
    for name in COLUMNS:
        while name in names:
            name += COLLISION_SUFFIX
        names.add(name)
        yield name
