"""A folder of text files: which files are read, in which order, and what is said of the others."""

import gzip
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from backports import zstd

from penstock.errors import SourceError
from penstock.models import Chunk, Row
from penstock.sources.protocol import MAX_ROW_BYTES

ReadRows = Callable[..., list[Row]]
ReadChunks = Callable[..., list[Chunk]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with three text files and some that are none."""
    folder = tmp_path / "texts"
    (folder / "b").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    for path in ("c.txt", "b/2.md", "b/1.txt", ".hidden/x.txt", ".x.txt", "image.png", "tasks.jsonl"):
        (folder / path).write_text(f"text of {path}", encoding="utf-8")
    return folder


def test_text_files_are_read_in_the_order_of_their_paths(folder: Path, read_rows: ReadRows) -> None:
    """Every text file that is not hidden is a prompt with its relative path as its id."""
    rows = read_rows(folder)
    assert [row.data for row in rows] == [
        {"prompt": f"text of {path}", "path": path, "id": path} for path in ("b/1.txt", "b/2.md", "c.txt")
    ]
    assert rows[0].where == f"{folder}/b/1.txt"
    assert [json.loads(row.raw) for row in rows] == [row.data for row in rows]


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", "It is empty."),
        (b" \n", "It is empty."),
        (b"a\0b", "It has NUL bytes: it is not text."),
        ("你好世界".encode("gbk"), "This looks like GB18030 (GBK), not UTF-8. Convert it: iconv -f GB18030"),
        (b"x" * (MAX_ROW_BYTES + 1), "It is longer than 32 MiB."),
    ],
    ids=["empty", "blank", "binary", "gbk", "long"],
)
def test_a_file_that_is_no_prompt_becomes_a_bad_row(
    tmp_path: Path, read_rows: ReadRows, content: bytes, error: str
) -> None:
    """A file that cannot be used is a row that says why."""
    (tmp_path / "a.txt").write_bytes(content)
    (row,) = read_rows(tmp_path)
    assert row.error is not None
    assert row.error.startswith(error)


def test_compressed_text_files_are_read(tmp_path: Path, read_rows: ReadRows) -> None:
    """Each is a prompt like any other; other compressed files are left out."""
    (tmp_path / "a.txt").write_bytes(b"plain")
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(b"from gzip"))
    (tmp_path / "c.md.zst").write_bytes(zstd.compress(b"from zstd"))
    (tmp_path / "D.TXT.GZ").write_bytes(gzip.compress(b"in capitals"))
    (tmp_path / "image.png.gz").write_bytes(gzip.compress(b"no text"))
    assert {row.data["id"]: row.data["prompt"] for row in read_rows(tmp_path)} == {
        "D.TXT.GZ": "in capitals",
        "a.txt": "plain",
        "b.txt.gz": "from gzip",
        "c.md.zst": "from zstd",
    }


@pytest.mark.parametrize("content", [gzip.compress(b"text")[:-1], b"text"], ids=["cut", "plain"])
def test_a_damaged_compressed_file_becomes_a_bad_row(tmp_path: Path, read_rows: ReadRows, content: bytes) -> None:
    """The row says that it cannot be read, and why."""
    (tmp_path / "a.txt.gz").write_bytes(content)
    (row,) = read_rows(tmp_path)
    assert row.error is not None
    assert row.error.startswith("It cannot be read: ")
    assert "None" not in row.error


def test_a_file_that_went_away_becomes_a_bad_row(tmp_path: Path, read_rows: ReadRows) -> None:
    """A link to nothing is not a file, and a file that cannot be opened is a bad row."""
    (tmp_path / "a.txt").write_text("a", encoding="utf-8")
    (tmp_path / "b.txt").symlink_to(tmp_path / "gone")
    assert len(read_rows(tmp_path)) == 1


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS allows no such names")
def test_a_name_that_is_not_utf8_is_shown_as_well_as_it_can_be(tmp_path: Path, read_rows: ReadRows) -> None:
    """A file from another system is read, whatever its name is made of."""
    with open(os.path.join(os.fsencode(tmp_path), b"caf\xe9.txt"), "wb") as file:
        file.write(b"a")
    (row,) = read_rows(tmp_path)
    assert row.data == {"prompt": "a", "path": "caf\ufffd.txt", "id": "caf\ufffd.txt"}


def test_a_linked_folder_is_not_entered(folder: Path, read_rows: ReadRows) -> None:
    """A link back up does not lead round in circles."""
    os.symlink(folder, folder / "again")
    assert len(read_rows(folder)) == 3


def test_files_added_behind_the_position_are_read(folder: Path, read_chunks: ReadChunks, read_rows: ReadRows) -> None:
    """A folder may grow at its end."""
    position = read_chunks(folder)[-1].position
    (folder / "d.txt").write_text("new", encoding="utf-8")
    assert [row.data["path"] for row in read_rows(folder, position)] == ["d.txt"]


@pytest.mark.parametrize("change", ["add", "remove", "rename"])
def test_other_files_before_the_position_are_refused(folder: Path, read_chunks: ReadChunks, change: str) -> None:
    """A folder with other files before the place reached so far is not gone on with."""
    position = read_chunks(folder, limit=2)[0].position
    if change == "add":
        (folder / "a.txt").write_text("new", encoding="utf-8")
    elif change == "remove":
        (folder / "b/1.txt").unlink()
    else:
        (folder / "b/1.txt").rename(folder / "b/3.txt")
    with pytest.raises(SourceError, match="--fresh"):
        read_chunks(folder, position)


def test_a_folder_without_text_files_is_refused(tmp_path: Path, read_rows: ReadRows) -> None:
    """The refusal says which files would have been read."""
    (tmp_path / "image.png").write_bytes(b"")
    with pytest.raises(SourceError, match=r"has no text files\.\n.*\.txt"):
        read_rows(tmp_path)
