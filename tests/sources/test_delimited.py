"""CSV and TSV files: headers, quotes, bad rows, and resuming between records that span lines."""

import csv
import io
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.errors import SourceBroken, SourceError
from penstock.models import Chunk, Row
from penstock.sources.delimited import csv_file
from penstock.sources.protocol import MAX_ROW_BYTES

ReadRows = Callable[..., list[Row]]
ReadChunks = Callable[..., list[Chunk]]

GOOD = [
    ("a.csv", "x,y\n1,2\n", [{"x": "1", "y": "2"}]),
    ("a.csv", "x;y\n1;2,5\n", [{"x": "1", "y": "2,5"}]),
    ("a.csv", "\r\nx , y\r\n1, 2 \r\n\r\n", [{"x": "1", "y": " 2 "}]),
    ("a.csv", 'x,y\n"a ""b"", c","d\ne"\n', [{"x": 'a "b", c', "y": "d\ne"}]),
    ("a.csv", 'x,y\n5" pipe,b\n', [{"x": '5" pipe', "y": "b"}]),
    ("a.csv", "x,y\n,\n", [{"x": "", "y": ""}]),
    ("a.csv", "x\n1\n\n2", [{"x": "1"}, {"x": "2"}]),
    ("a.csv", "x,y\n", []),
    ("a.tsv", "x\ty\n1,5\t2\n", [{"x": "1,5", "y": "2"}]),
]


@pytest.mark.parametrize(("name", "content", "data"), GOOD)
def test_records_become_rows(
    tmp_path: Path, read_rows: ReadRows, name: str, content: str, data: list[dict[str, str]]
) -> None:
    """Every record is a row of strings under the names of the header."""
    path = tmp_path / name
    path.write_bytes(content.encode())
    rows = read_rows(path)
    assert [row.data for row in rows] == data
    assert [json.loads(row.raw) for row in rows] == data


BAD = [
    (b"1", "The header has 2 fields and this row 1."),
    (b"1,2,3", "The header has 2 fields and this row 3."),
    (b"1,a\0b", "It has NUL bytes: it is not text."),
    (b'"a"b,2', "It is not valid CSV: ',' expected after '\"' (in line 2)."),
    (b'"a\nb"c,2', "It is not valid CSV: ',' expected after '\"' (in line 3)."),
    (b"1,caf\xe9", "This is not valid UTF-8. Convert it to UTF-8."),
]


@pytest.mark.parametrize(("record", "error"), BAD)
def test_a_bad_record_becomes_a_bad_row(tmp_path: Path, read_rows: ReadRows, record: bytes, error: str) -> None:
    """A record that does not fit is a row that says why, and the next one is read."""
    path = tmp_path / "tasks.csv"
    path.write_bytes(b"x,y\n" + record + b"\n3,4\n")
    bad, good = read_rows(path)
    assert (bad.error, bad.where) == (error, f"{path}:2")
    assert good.data == {"x": "3", "y": "4"}


def test_a_quote_that_is_never_closed_is_named(tmp_path: Path, read_rows: ReadRows) -> None:
    """What a stray quote swallowed is one bad row that says where it began and how much it took."""
    path = tmp_path / "tasks.csv"
    path.write_bytes(b'x,y\n1,2\n3,"4\n5,6\n7,8\n')
    good, bad = read_rows(path)
    assert good.error is None
    assert bad.where == f"{path}:3"
    assert bad.error == "A quote is opened here and never closed: all 3 lines to the end of the file went into it."


def test_a_record_larger_than_the_cap_breaks_the_source(tmp_path: Path, read_rows: ReadRows) -> None:
    """A stray quote in a huge file stops the run at its line instead of filling the memory."""
    path = tmp_path / "tasks.csv"
    with path.open("wb") as file:
        file.write(b'x,y\n3,"4\n')
        line = b"5," + b"6" * 500_000 + b"\n"
        file.write(line * (MAX_ROW_BYTES // len(line) + 1))
    with pytest.raises(SourceBroken, match=r"tasks\.csv:2: a quote is opened here and not closed within 32 MiB"):
        read_rows(path)


def test_a_line_that_is_too_long_is_skipped(tmp_path: Path, read_chunks: ReadChunks) -> None:
    """A line beyond the cap is a bad row, and can be resumed behind."""
    path = tmp_path / "tasks.csv"
    with path.open("wb") as file:
        file.write(b"x,y\n1,")
        file.write(b"2" * MAX_ROW_BYTES)
        file.write(b"\n3,4\n")
    first, second = read_chunks(path, limit=1)
    assert first.rows[0].error == "It is longer than 32 MiB."
    assert read_chunks(path, first.position, limit=1) == [second]


def test_a_field_may_be_long(tmp_path: Path, read_rows: ReadRows) -> None:
    """A document of many kilobytes fits into a field."""
    path = tmp_path / "tasks.csv"
    path.write_text("x\n" + "word " * 100_000 + "\n", encoding="utf-8")
    (row,) = read_rows(path)
    assert len(row.data["x"]) == 500_000


def test_line_numbers_count_the_lines_of_quoted_fields(tmp_path: Path, read_rows: ReadRows) -> None:
    """`where` is the line in which a record begins."""
    path = tmp_path / "tasks.csv"
    path.write_bytes(b'x\n"a\n\nb"\n"c"\n')
    assert [row.where for row in read_rows(path)] == [f"{path}:2", f"{path}:5"]


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"x,,y", "column 2 has no name"),
        (b"x,y,", "column 3 has no name"),
        (b"x,y, x", "two columns are called 'x'"),
        (b'"x,y', "the header is not valid CSV"),
        (b"caf\xe9,y", "This is not valid UTF-8"),
    ],
)
def test_an_unfit_header_is_refused(tmp_path: Path, read_rows: ReadRows, header: bytes, message: str) -> None:
    """A header that cannot name the fields of a row stops the run before it begins."""
    path = tmp_path / "tasks.csv"
    path.write_bytes(header + b"\n1,2\n")
    with pytest.raises(SourceError, match=message):
        read_rows(path)


def test_a_changed_header_is_refused_on_going_on(tmp_path: Path, read_chunks: ReadChunks) -> None:
    """Renaming a column half-way is a change of what was read."""
    path = tmp_path / "tasks.csv"
    path.write_bytes(b"x,y\n1,2\n3,4\n")
    position = read_chunks(path, limit=1)[0].position
    path.write_bytes(b"x,z\n1,2\n3,4\n")
    with pytest.raises(SourceError, match="--fresh"):
        read_chunks(path, position)


FIELDS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\ufeff"), max_size=12)


@settings(max_examples=40, deadline=None)
@given(records=st.lists(st.tuples(FIELDS, FIELDS), max_size=10), limit=st.integers(1, 4), data=st.data())
def test_any_records_come_back_from_any_position(
    records: list[tuple[str, str]], limit: int, data: st.DataObject
) -> None:
    """What was written is read, quotes and newlines included, in one go or resumed anywhere."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tasks.csv"
        written = io.StringIO()
        csv.writer(written).writerows([("x", "y"), *records])
        path.write_bytes(written.getvalue().encode())
        reader = csv_file(str(path))
        reader.open(None)
        chunks = []
        while chunk := reader.read(limit):
            chunks.append(chunk)
        reader.close()
        expected = [{"x": x, "y": y} for x, y in records]
        assert [row.data for chunk in chunks for row in chunk.rows] == expected
        if chunks:
            stop = data.draw(st.integers(0, len(chunks) - 1))
            reader.open(chunks[stop].position)
            rest = reader.read(1000)
            reader.close()
            expected = expected[sum(len(chunk.rows) for chunk in chunks[: stop + 1]) :]
            assert [row.data for row in rest.rows] == expected if rest else expected == []
