"""Tables for spreadsheets: columns, cells, and what must not run."""

import asyncio
import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from penstock.models import Result, Settled, Status
from penstock.options import Order
from penstock.sinks.csv_file import CsvRows, cell
from penstock.sinks.files import FileSink
from penstock.sinks.protocol import SinkOptions
from penstock.sinks.results import GivenResults

RESULT_COLUMNS = [
    *("key", "index", "status", "model", "endpoint", "text", "finish_reason"),
    *("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens"),
    *("cost", "currency", "latency_ms", "queue_ms", "ttft_ms", "tokens_per_s", "attempts", "finished_at"),
]


def result(index: int, answer: str = "a", /, **row: Any) -> Result:
    """The answer to a row."""
    return Result(f"k{index}", index, Status.OK, json.dumps(row).encode(), text=answer)


def written(path: Path, results: Sequence[Result], *, finish: bool, order: Order = "input") -> list[list[str]]:
    """The cells of the file after these results came one by one."""

    async def run() -> None:
        sink = FileSink(path, CsvRows(), SinkOptions(order=order))
        await sink.open(None)
        for seq, item in enumerate(results, start=1):
            await sink.deliver([Settled(seq, item)])
        if finish:
            await sink.finish(GivenResults(sorted(results, key=lambda item: item.index)))
        await sink.aclose()

    asyncio.run(run())
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("=1+1", "'=1+1"),
        ("+1+1", "'+1+1"),
        ("-1+1", "'-1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'=1"),
        ("\n=1", "'\n=1"),
        ("  =1", "'  =1"),
        ("＝1+1", "'＝1+1"),
        ("- item", "'- item"),
        ("+86 138 0000", "'+86 138 0000"),
        ("-5", "-5"),
        ("+1.5e-3", "+1.5e-3"),
        ("-.5", "-.5"),
        ("a=b", "a=b"),
        ("\nHello", "\nHello"),
        ("", ""),
    ],
)
def test_formulas_are_disarmed(value: str, text: str) -> None:
    """What a spreadsheet would run gets an apostrophe; plain numbers and plain text do not."""
    assert cell(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "true"),
        (-5, "-5"),
        (0.25, "0.25"),
        (["=1", 2], '["=1",2]'),
        ({"名": None}, '{"名":null}'),
        ("a\x00b\x1b[31m\r\nc\td", "ab[31m\nc\td"),
    ],
)
def test_cells(value: Any, text: str) -> None:
    """Nested values are JSON, null is empty, and control characters other than newline and tab are left out."""
    assert cell(value) == text


def test_own_columns_come_first(tmp_path: Path) -> None:
    """The row's own columns stand before those of the result."""
    rows = written(tmp_path / "out.csv", [result(0, id="x", 名="值")], finish=False)
    assert rows[0] == ["id", "名", *RESULT_COLUMNS]
    assert rows[1][:5] == ["x", "值", "k0", "0", "ok"]


def test_file_begins_with_a_byte_order_mark(tmp_path: Path) -> None:
    """Excel needs the mark to read Chinese, and it stands once."""
    written(tmp_path / "out.csv", [result(1), result(0)], finish=True)
    assert (tmp_path / "out.csv").read_bytes().count(b"\xef\xbb\xbf") == 1


def test_colliding_columns_are_renamed(tmp_path: Path) -> None:
    """A row's column keeps its name and the result's gets a suffix, as often as it takes."""
    header, row = written(tmp_path / "out.csv", [result(0, "answer", text="question", text_result="?")], finish=False)
    assert header[:2] == ["text", "text_result"]
    assert dict(zip(header, row, strict=True))["text_result_result"] == "answer"


@pytest.mark.parametrize("order", ["input", "completion"])
def test_columns_that_come_late_stand_at_the_end_of_the_run(tmp_path: Path, order: Order) -> None:
    """The finished file has every column of every row, in either order, though the running one had not."""
    results = [result(1, a=1), result(0, b=2)]
    running = written(tmp_path / "running.csv", results, finish=False)
    assert running[0] == ["a", *RESULT_COLUMNS]
    assert [len(row) for row in running] == [len(running[0])] * 3
    finished = written(tmp_path / "finished.csv", results, finish=True, order=order)
    assert finished[0] == ["a", "b", *RESULT_COLUMNS]
    assert [row[:2] for row in finished[1:]] == [["", "2"], ["1", ""]]


def test_completion_order_stays(tmp_path: Path) -> None:
    """With order "completion" the answers stay as they came."""
    rows = written(tmp_path / "out.csv", [result(1, a=1), result(0, a=2)], finish=True, order="completion")
    assert [row[1] for row in rows[1:]] == ["k1", "k0"]


def test_columns_survive_a_restart() -> None:
    """A layout that is loaded from its dump goes on with the header that stands in the file."""
    before = CsvRows()
    before.start([result(0, a=1)])
    before.line(result(1, b=2))
    after = CsvRows()
    after.load(json.loads(json.dumps(before.dump())))
    assert not after.complete
    assert after.line(result(2, b=3, a=4)) == before.line(result(2, b=3, a=4))
    assert after.start(()).decode("utf-8-sig").startswith("a,b,key,")


def test_output_stands_where_there_is_no_text(tmp_path: Path) -> None:
    """An embedding is not lost in a table: its JSON stands in the text column."""
    vector = msgspec.structs.replace(result(0), text=None, output=msgspec.Raw(b"[0.5]"))
    header, row = written(tmp_path / "out.csv", [vector], finish=False)
    assert dict(zip(header, row, strict=True))["text"] == "[0.5]"
