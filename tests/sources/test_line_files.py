"""JSONL and text files: which lines become rows, and what is said of the others."""

import gzip
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.errors import SourceBroken, SourceError
from penstock.models import Chunk, Row
from penstock.sources.line_files import jsonl_file
from penstock.sources.protocol import MAX_ROW_BYTES

ReadRows = Callable[..., list[Row]]
ReadChunks = Callable[..., list[Chunk]]

BAD_LINES = [
    (b'{"prompt": "a"', "It is not valid JSON: Input data was truncated."),
    (b"not json", "It is not valid JSON: JSON is malformed"),
    (b'{"a": 1}{"a": 2}', "It is not valid JSON: JSON is malformed: trailing characters"),
    (b'{"a": NaN}', "It is not valid JSON"),
    (b'{"a": 1}\0', "It is not valid JSON"),
    (b'{"a": "\0"}', "It is not valid JSON"),
    (b'{"a": "\\ud800"}', "It is not valid JSON"),
    (b"[" * 100_000, "It is not valid JSON: maximum recursion depth"),
    (b"[1, 2]", "It must be a JSON object, and it is an array."),
    (b'"text"', "It must be a JSON object, and it is a string."),
    (b"12", "It must be a JSON object, and it is a number."),
    (b"null", "It must be a JSON object, and it is null."),
    (b'{"a": "caf\xe9"}', "This is not valid UTF-8. Convert it to UTF-8."),
]


@pytest.mark.parametrize(("line", "error"), BAD_LINES)
def test_a_bad_line_becomes_a_bad_row(tmp_path: Path, read_rows: ReadRows, line: bytes, error: str) -> None:
    """A line that is no JSON object is a row that says why, and its neighbours are read."""
    path = tmp_path / "tasks.jsonl"
    path.write_bytes(b'{"n": 1}\n' + line + b'\n{"n": 3}\n')
    first, bad, last = read_rows(path)
    assert (first.data, last.data) == ({"n": 1}, {"n": 3})
    assert bad.error is not None
    assert bad.error.startswith(error)
    assert bad.where == f"{path}:2"


def test_a_bad_row_keeps_the_beginning_of_its_text(tmp_path: Path, read_rows: ReadRows) -> None:
    """`raw` and `data` of a bad row hold at most 1,000 characters of it."""
    path = tmp_path / "tasks.jsonl"
    path.write_text("你好" * 1000, encoding="utf-8")
    (row,) = read_rows(path)
    assert row.data == {"raw": "你好" * 500}
    assert json.loads(row.raw) == row.data


def test_raw_is_the_line_byte_for_byte(tmp_path: Path, read_rows: ReadRows) -> None:
    """A good line is not encoded again: its spacing and its numbers stay."""
    path = tmp_path / "tasks.jsonl"
    path.write_bytes(b'  {"a" :1.50,  "b":"\\u4f60"}  \r\n')
    (row,) = read_rows(path)
    assert row.raw == b'{"a" :1.50,  "b":"\\u4f60"}'


def test_blank_lines_are_skipped_and_counted(tmp_path: Path, read_rows: ReadRows) -> None:
    """Blank lines give no rows, and the line numbers stay right."""
    path = tmp_path / "tasks.jsonl"
    path.write_bytes(b'\n\r\n{"n": 1}\n   \n{"n": 2}')
    assert [row.where for row in read_rows(path)] == [f"{path}:3", f"{path}:5"]


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("name", ["tasks.jsonl", "tasks.csv", "tasks.txt"])
def test_an_empty_file_has_no_rows(tmp_path: Path, read_rows: ReadRows, name: str, content: bytes) -> None:
    """A file without anything in it is no error."""
    path = tmp_path / name
    path.write_bytes(content)
    assert read_rows(path) == []


@pytest.mark.parametrize(
    ("name", "content", "data"),
    [
        ("tasks.jsonl", b'{"n": 1}', {"n": 1}),
        ("tasks.txt", b"hello", {"prompt": "hello"}),
        ("tasks.csv", b'"n"\n1', {"n": "1"}),
    ],
)
def test_a_byte_order_mark_is_skipped(
    tmp_path: Path, read_rows: ReadRows, name: str, content: bytes, data: dict[str, object]
) -> None:
    """The mark that Windows programs put before UTF-8 is no part of the first row."""
    path = tmp_path / name
    path.write_bytes(b"\xef\xbb\xbf" + content)
    assert [row.data for row in read_rows(path)] == [data]


def test_the_failure_member_of_a_failed_file_is_taken_away(tmp_path: Path, read_rows: ReadRows) -> None:
    """A line of a `.failed.jsonl` output is the task again: its own fields and its key."""
    path = tmp_path / "out.failed.jsonl"
    path.write_text('{"prompt": "a", "key": "7", "_failure": {"fault": "rejected"}}\n', encoding="utf-8")
    (row,) = read_rows(path)
    assert row.data == {"prompt": "a", "key": "7"}
    assert json.loads(row.raw) == row.data


def test_a_line_that_is_too_long_is_skipped(tmp_path: Path, read_chunks: ReadChunks) -> None:
    """A line beyond the cap becomes a bad row with its beginning, and can be resumed behind."""
    path = tmp_path / "tasks.jsonl"
    with path.open("wb") as file:
        file.write(b'{"n": 1}\n{"n": "')
        file.write(b"x" * MAX_ROW_BYTES)
        file.write(b'"}\n{"n": 3}\n')
    chunks = read_chunks(path)
    rows = [row for chunk in chunks for row in chunk.rows]
    assert [row.error for row in rows] == [None, "It is longer than 32 MiB.", None]
    assert rows[1].data["raw"].startswith('{"n": "xxx')
    assert [row.where.rpartition(":")[2] for row in rows] == ["1", "2", "3"]
    assert [row.data for chunk in read_chunks(path, chunks[1].position) for row in chunk.rows] == [{"n": 3}]


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"fine\nnot \0 text\n", "It has NUL bytes: it is not text."),
        (b"fine\ncaf\xe9\n", "This is not valid UTF-8. Convert it to UTF-8."),
    ],
)
def test_a_bad_line_of_text_becomes_a_bad_row(tmp_path: Path, read_rows: ReadRows, content: bytes, error: str) -> None:
    """A line that is not text is a row that says why."""
    path = tmp_path / "prompts.txt"
    path.write_bytes(content)
    assert [row.error for row in read_rows(path)] == [None, error]


def test_a_line_of_text_is_a_prompt_as_it_stands(tmp_path: Path, read_rows: ReadRows) -> None:
    """Spaces around a prompt stay; the line's end does not."""
    path = tmp_path / "prompts.txt"
    path.write_bytes(b"  one \r\n\r\ntwo")
    assert [row.data for row in read_rows(path)] == [{"prompt": "  one "}, {"prompt": "two"}]


def test_a_file_may_grow_behind_the_position(tmp_path: Path, read_chunks: ReadChunks, read_rows: ReadRows) -> None:
    """Lines appended after a last line without a newline are read next, under their right numbers."""
    path = tmp_path / "tasks.jsonl"
    path.write_bytes(b'{"n": 1}\n{"n": 2}')
    position = read_chunks(path)[-1].position
    path.write_bytes(b'{"n": 1}\n{"n": 2}\n{"n": 3}\n')
    (row,) = read_rows(path, position)
    assert (row.data, row.where) == ({"n": 3}, f"{path}:3")


LINES = [b'{"n": %d, "filler": "%s"}\n' % (number, b"x" * 200) for number in range(1000)]


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param([b'{"n": 9}\n', *LINES[1:]], id="first line"),
        pytest.param([*LINES[:998], LINES[999]], id="a line before the end is gone"),
        pytest.param([*LINES[:999], LINES[0]], id="last line"),
        pytest.param(LINES[:999], id="shorter"),
        pytest.param([], id="empty"),
    ],
)
@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_changed_file_is_refused(
    tmp_path: Path, read_chunks: ReadChunks, changed: list[bytes], compress: Callable[[bytes], bytes]
) -> None:
    """A file that has other content before the position is not gone on with."""
    path = tmp_path / ("tasks.jsonl" if compress is bytes else "tasks.jsonl.gz")
    path.write_bytes(compress(b"".join(LINES)))
    position = read_chunks(path)[-1].position
    path.write_bytes(compress(b"".join(changed)))
    with pytest.raises(SourceError, match="--fresh"):
        read_chunks(path, position)


def test_a_compressed_file_that_is_cut_short_breaks(tmp_path: Path, read_rows: ReadRows) -> None:
    """Damage behind the beginning stops the run when it is met, with the file's name."""
    path = tmp_path / "tasks.jsonl.gz"
    lines = b"".join(b'{"n": "%x"}\n' % (number**9) for number in range(100_000))
    path.write_bytes(gzip.compress(lines)[:-100_000])
    with pytest.raises(SourceBroken, match=r"tasks\.jsonl\.gz cannot be read: damaged or cut short"):
        read_rows(path)


@pytest.mark.parametrize("name", ["tasks.jsonl.gz", "tasks.jsonl.zst"])
def test_a_file_that_is_not_compressed_as_it_says_is_refused(tmp_path: Path, read_rows: ReadRows, name: str) -> None:
    """Damage at the beginning is found when the file is opened."""
    path = tmp_path / name
    path.write_bytes(b'{"n": 1}\n' * 100)
    with pytest.raises(SourceError, match="cannot be read"):
        read_rows(path)


OBJECTS = st.dictionaries(
    st.text(max_size=5), st.text(max_size=20) | st.integers(-(2**60), 2**60) | st.none(), max_size=3
)


@settings(max_examples=40, deadline=None)
@given(objects=st.lists(OBJECTS, max_size=12), limit=st.integers(1, 5), data=st.data())
def test_any_objects_come_back_from_any_position(
    objects: list[dict[str, object]], limit: int, data: st.DataObject
) -> None:
    """What was written is read, in one go or resumed anywhere."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tasks.jsonl"
        path.write_text("".join(json.dumps(value) + "\n" for value in objects), encoding="utf-8")
        reader = jsonl_file(str(path))
        reader.open(None)
        chunks = []
        while chunk := reader.read(limit):
            chunks.append(chunk)
        reader.close()
        assert [row.data for chunk in chunks for row in chunk.rows] == objects
        if chunks:
            stop = data.draw(st.integers(0, len(chunks) - 1))
            reader.open(chunks[stop].position)
            rest = reader.read(1000)
            reader.close()
            expected = objects[sum(len(chunk.rows) for chunk in chunks[: stop + 1]) :]
            assert [row.data for row in rest.rows] == expected if rest else expected == []
