"""The Parquet file: types, values and row groups."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pyarrow
import pyarrow.parquet

from penstock.models import Attempt, Result, Settled, Status, Usage
from penstock.sinks.parquet import GROUP_BYTES, ParquetSink
from penstock.sinks.protocol import SinkOptions
from penstock.sinks.results import GivenResults


def written(path: Path, results: list[Result]) -> pyarrow.parquet.ParquetFile:
    """The file after these results."""

    async def run() -> None:
        sink = ParquetSink(path, SinkOptions())
        await sink.open(None)
        await sink.deliver([Settled(seq, result) for seq, result in enumerate(results, start=1)])
        await sink.finish(GivenResults(results))
        await sink.aclose()

    asyncio.run(run())
    return pyarrow.parquet.ParquetFile(path)


def test_columns_are_typed(tmp_path: Path) -> None:
    """Counts are integers, money is a number, time is a time in UTC, and the row is its JSON."""
    result = Result(
        "k",
        3,
        Status.PARTIAL,
        '{"名": 1}'.encode(),
        text="好",
        usage=Usage(1, 2, 3, 4),
        cost=0.5,
        attempts=(Attempt("e", 0.0, 1.0, ttft_ms=12.5),),
        finished_at=1_700_000_000.25,
    )
    (row,) = written(tmp_path / "out.parquet", [result]).read().to_pylist()
    assert row == {
        "key": "k",
        "index": 3,
        "status": "partial",
        "model": "",
        "endpoint": "",
        "text": "好",
        "finish_reason": None,
        "input_tokens": 1,
        "cached_tokens": 2,
        "output_tokens": 3,
        "reasoning_tokens": 4,
        "cost": 0.5,
        "currency": "USD",
        "latency_ms": 0.0,
        "queue_ms": 0.0,
        "ttft_ms": 12.5,
        "tokens_per_s": None,
        "attempts": 1,
        "finished_at": datetime(2023, 11, 14, 22, 13, 20, 250_000, UTC),
        "data": '{"名": 1}',
    }


def test_large_results_are_written_in_groups(tmp_path: Path) -> None:
    """Memory holds one row group: large bodies close it early."""
    body = b"x" * (GROUP_BYTES // 2)
    results = [Result(f"k{index}", index, Status.OK, b"{}", body=body, text="a") for index in range(5)]
    assert written(tmp_path / "out.parquet", results).num_row_groups == 3


def test_run_without_answers_gives_an_empty_table(tmp_path: Path) -> None:
    """Without a single answer the file is a table of the same columns."""

    async def run() -> None:
        sink = ParquetSink(tmp_path / "out.parquet", SinkOptions())
        await sink.open(None)
        await sink.finish(GivenResults(()))
        await sink.aclose()

    asyncio.run(run())
    table = pyarrow.parquet.read_table(tmp_path / "out.parquet")
    assert table.num_rows == 0
    assert table.schema.field("cost").type == pyarrow.float64()
