"""Parquet files: values, totals, resuming and damage."""

import asyncio
import datetime
import decimal
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from penstock.errors import MissingExtra, SourceError
from penstock.models import Chunk, Row
from penstock.sources.registry import estimate_total, make_source

ReadRows = Callable[..., list[Row]]
ReadChunks = Callable[..., list[Chunk]]


def test_values_become_json(tmp_path: Path, read_rows: ReadRows) -> None:
    """Dates, decimals, lists and missing values come as JSON has them."""
    path = tmp_path / "tasks.parquet"
    row = {
        "text": "你好",
        "count": 3,
        "day": datetime.date(2026, 1, 2),
        "price": decimal.Decimal("1.50"),
        "tags": ["a", "b"],
        "none": None,
    }
    parquet.write_table(pa.Table.from_pylist([row]), path)
    (read,) = read_rows(path)
    assert read.data == {**row, "day": "2026-01-02", "price": "1.50"}
    assert read.where == f"{path}:row 1"


def test_resuming_skips_row_groups_and_batches(tmp_path: Path, read_chunks: ReadChunks, read_rows: ReadRows) -> None:
    """A position deep in the file leads to the row behind it, wherever groups and batches end."""
    path = tmp_path / "tasks.parquet"
    parquet.write_table(pa.table({"n": list(range(3000))}), path, row_group_size=1100)
    done = 0
    for chunk in read_chunks(path, limit=413):
        done += len(chunk.rows)
        assert [row.data["n"] for row in read_rows(path, chunk.position)] == list(range(done, 3000))


def test_the_total_is_known_once_open(tmp_path: Path) -> None:
    """The footer says how many rows there are."""
    path = tmp_path / "tasks.parquet"
    parquet.write_table(pa.table({"n": [1, 2, 3]}), path)

    async def total() -> int | None:
        source = make_source(path)
        await source.open(None)
        await source.aclose()
        return estimate_total(source)

    assert asyncio.run(total()) == 3


def test_a_rewritten_file_is_refused(tmp_path: Path, read_chunks: ReadChunks) -> None:
    """A file with another footer is another file."""
    path = tmp_path / "tasks.parquet"
    parquet.write_table(pa.table({"n": [1, 2, 3]}), path)
    position = read_chunks(path, limit=1)[0].position
    parquet.write_table(pa.table({"n": [1, 2, 4]}), path)
    with pytest.raises(SourceError, match="--fresh"):
        read_chunks(path, position)


@pytest.mark.parametrize("content", [b"", b"PAR1 but not really PAR1"])
def test_a_file_that_is_not_parquet_is_refused(tmp_path: Path, read_rows: ReadRows, content: bytes) -> None:
    """Damage is found when the file is opened."""
    path = tmp_path / "tasks.parquet"
    path.write_bytes(content)
    with pytest.raises(SourceError, match="is not a Parquet file"):
        read_rows(path)


def test_two_columns_of_one_name_are_refused(tmp_path: Path, read_rows: ReadRows) -> None:
    """A row cannot have two fields of the same name."""
    path = tmp_path / "tasks.parquet"
    parquet.write_table(pa.table([[1], [2]], names=["n", "n"]), path)
    with pytest.raises(SourceError, match="two columns are called 'n'"):
        read_rows(path)


@pytest.mark.parametrize(
    ("module", "name", "extra"),
    [("pyarrow", "tasks.parquet", "parquet"), ("backports.zstd", "tasks.jsonl.zst", "zstd")],
)
def test_a_missing_package_is_named(
    tmp_path: Path, read_rows: ReadRows, monkeypatch: pytest.MonkeyPatch, module: str, name: str, extra: str
) -> None:
    """Without the optional package the error says how to install it."""
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, "compression.zstd", None)
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(MissingExtra, match=rf"penstock\[{extra}\]"):
        read_rows(tmp_path / name)
