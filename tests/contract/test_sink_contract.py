"""What every sink promises: each result is taken once, over any number of crashes."""

import asyncio
import csv
import io
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.errors import UsageError
from penstock.models import Failure, Fault, Result, Settled, Status
from penstock.options import Format
from penstock.sinks.callables import CallableSink
from penstock.sinks.protocol import Cursor, Sink, SinkOptions
from penstock.sinks.registry import make_sink
from penstock.sinks.results import GivenResults
from penstock.sinks.stdout import StdoutSink

FAILURE = Failure(Fault.REJECTED, "too long", status=400)


def settled(seq: int, index: int, status: Status = Status.OK) -> Settled:
    """The result of row `index`, committed as number `seq`."""
    row = json.dumps({"id": f"k{index}", "q": "问" * (index % 5)}).encode()
    failure = FAILURE if status is Status.FAILED else None
    text = None if failure else f"answer {index}\nof {seq}"
    return Settled(seq, Result(f"k{index}", index, status, row, text=text, body=b'{"a": 1}', failure=failure))


ORDER = (3, 0, 4, 1, 7, 2, 6, 5, 9, 8)
"""In which the rows were settled; every third failed."""
LOG = [settled(i + 1, index, Status.FAILED if index % 3 == 2 else Status.OK) for i, index in enumerate(ORDER)]
ANSWERED = [f"k{index}" for index in range(10) if index % 3 != 2]
FAILED = ["k2", "k5", "k8"]


class FilePlace:
    """A sink of a file, made anew as often as the program starts, and what stands in the file."""

    def __init__(self, folder: Path, name: str, format: Format = "penstock") -> None:
        self.path = folder / name
        self.failed = folder / "out.failed.jsonl"
        self._format: Format = format

    def make(self, *, overwrite: bool = False) -> Sink:
        """The sink of a new process."""
        return make_sink(self.path, SinkOptions(format=self._format, overwrite=overwrite))

    def keys(self) -> list[str]:
        """The keys of the answers as they stand in the file."""
        if self.path.suffix == ".parquet":
            return [str(key) for key in pyarrow.parquet.read_table(self.path).column("key").to_pylist()]
        if self.path.suffix == ".jsonl":
            name = "custom_id" if self._format == "openai-batch" else "key"
            return [json.loads(line)[name] for line in self.path.read_text().splitlines()]
        with self.path.open(encoding="utf-8-sig", newline="") as file:
            return [row["key"] for row in csv.DictReader(file, delimiter="\t" if self.path.suffix == ".tsv" else ",")]

    def failed_keys(self) -> list[str]:
        """The keys of the failed tasks as they stand in their file."""
        if not self.failed.exists():
            return []
        return [json.loads(line)["key"] for line in self.failed.read_text().splitlines()]


class StreamPlace:
    """Standard output: every start of the program writes to a new stream."""

    def __init__(self, folder: Path) -> None:
        self._stream = io.BytesIO()

    def make(self) -> Sink:
        """The sink of a new process."""
        self._stream = io.BytesIO()
        return StdoutSink(SinkOptions(), self._stream)

    def keys(self) -> list[str]:
        """The keys of the answers that the last process printed."""
        return sorted(json.loads(line)["key"] for line in self._stream.getvalue().splitlines())


class FunctionPlace:
    """A function that keeps what it is given, over all starts of the program."""

    def __init__(self, folder: Path) -> None:
        self._results: list[Result] = []

    def make(self) -> Sink:
        """The sink of a new process."""
        return CallableSink(self._results.append)

    def keys(self) -> list[str]:
        """The keys of all answers that it was given."""
        return sorted({result.key for result in self._results if result.status is not Status.FAILED})


Place = FilePlace | StreamPlace | FunctionPlace

FILES: dict[str, Callable[[Path], FilePlace]] = {
    "jsonl": lambda folder: FilePlace(folder, "out.jsonl"),
    "openai-batch": lambda folder: FilePlace(folder, "out.jsonl", "openai-batch"),
    "csv": lambda folder: FilePlace(folder, "out.csv"),
    "tsv": lambda folder: FilePlace(folder, "out.tsv"),
    "parquet": lambda folder: FilePlace(folder, "out.parquet"),
}
GROWING = ("jsonl", "openai-batch", "csv", "tsv")
"""Kinds of file whose answers stand there while the run goes on."""
PLACES: dict[str, Callable[[Path], Place]] = {**FILES, "stdout": StreamPlace, "callable": FunctionPlace}


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Each kind of sink in turn."""
    return PLACES[request.param](tmp_path)


@pytest.fixture(params=FILES)
def file_place(request: pytest.FixtureRequest, tmp_path: Path) -> FilePlace:
    """Each kind of file in turn."""
    return FILES[request.param](tmp_path)


@pytest.fixture(params=GROWING)
def growing_place(request: pytest.FixtureRequest, tmp_path: Path) -> FilePlace:
    """Each kind of file that grows while the run goes on."""
    return FILES[request.param](tmp_path)


def current(log: Sequence[Settled]) -> list[Result]:
    """The last result of each row, in input order, as the journal gives them."""
    latest = {item.result.index: item.result for item in log}
    return [latest[index] for index in sorted(latest)]


def drive(sink: Sink, cursor: Cursor | None, log: Sequence[Settled], *, finish: bool = False) -> Cursor:
    """One life of the program: open, deliver what the journal has after the cursor, perhaps finish, close."""

    async def life() -> Cursor:
        at = await sink.open(cursor)
        rest = [item for item in log if item.seq > at["seq"]]
        for start in range(0, len(rest), 3):
            at = await sink.deliver(rest[start : start + 3])
        if finish:
            at = await sink.finish(GivenResults(current(log)))
        await sink.aclose()
        return at

    saved: Cursor = json.loads(json.dumps(asyncio.run(life())))
    return saved


def test_every_answer_stands_once(place: Place) -> None:
    """A run that is not disturbed leaves every answer once."""
    drive(place.make(), None, LOG, finish=True)
    assert place.keys() == ANSWERED


def test_cursor_names_the_last_result(place: Place) -> None:
    """The cursor's `seq` is that of the last delivered result, before and after the end."""
    cursor = drive(place.make(), None, LOG[:7])
    assert cursor["seq"] == 7
    assert drive(place.make(), cursor, LOG, finish=True)["seq"] == 10


def test_going_on_repeats_nothing(place: Place) -> None:
    """A second process goes on from the cursor, and every answer stands once."""
    cursor = drive(place.make(), None, LOG[:5])
    drive(place.make(), cursor, LOG, finish=True)
    assert place.keys() == ANSWERED


def test_going_on_after_the_end(place: Place) -> None:
    """Results that come after a finished run are added to it."""
    cursor = drive(place.make(), None, LOG[:6], finish=True)
    drive(place.make(), cursor, LOG, finish=True)
    assert place.keys() == ANSWERED


def test_crash_between_the_end_and_its_cursor(place: Place) -> None:
    """A cursor from before the end still leads to every answer once."""
    before = drive(place.make(), None, LOG)
    drive(place.make(), before, LOG, finish=True)
    drive(place.make(), before, LOG, finish=True)
    assert place.keys() == ANSWERED


def test_batch_whose_cursor_was_not_saved(place: Place) -> None:
    """A batch that is delivered again after a crash leaves every answer once."""
    cursor = drive(place.make(), None, LOG[:3])
    drive(place.make(), cursor, LOG[:8])
    drive(place.make(), cursor, LOG, finish=True)
    assert place.keys() == ANSWERED


def test_closing_twice(place: Place) -> None:
    """A sink may be closed twice, and without ever having been opened."""

    async def close_twice() -> None:
        sink = place.make()
        await sink.aclose()
        await sink.aclose()

    asyncio.run(close_twice())


def test_a_sink_names_its_files(place: Place) -> None:
    """Those of answers and of failed tasks, or neither where there is no file."""
    sink = place.make()
    files = (place.path, place.failed) if isinstance(place, FilePlace) else (None, None)
    assert (sink.path, sink.failed_path) == files


def test_failed_tasks_stand_beside(file_place: FilePlace) -> None:
    """Failed tasks stand in their own file, in input order at the end."""
    cursor = drive(file_place.make(), None, LOG)
    assert sorted(file_place.failed_keys()) == FAILED
    drive(file_place.make(), cursor, LOG, finish=True)
    assert file_place.failed_keys() == FAILED


def test_no_failed_file_without_a_failure(file_place: FilePlace) -> None:
    """The failed file is made by the first failure."""
    answered = [item for item in LOG if item.result.status is Status.OK]
    drive(file_place.make(), None, answered, finish=True)
    assert not file_place.failed.exists()


def test_mended_tasks_leave_the_failed_file(file_place: FilePlace) -> None:
    """When all that failed has been mended, the failed file is gone and the answers are complete."""
    cursor = drive(file_place.make(), None, LOG, finish=True)
    log = [*LOG, *(settled(11 + i, index) for i, index in enumerate((5, 2, 8)))]
    drive(file_place.make(), cursor, log, finish=True)
    assert not file_place.failed.exists()
    assert file_place.keys() == [f"k{index}" for index in range(10)]


def test_torn_tail_is_cut(growing_place: FilePlace) -> None:
    """Half a line beyond the cursor, in either file, is cut off."""
    cursor = drive(growing_place.make(), None, LOG[:6])
    for path in (growing_place.path, growing_place.failed):
        with path.open("ab") as file:
            file.write(b'{"key": "to')
    drive(growing_place.make(), cursor, LOG)
    assert sorted(growing_place.keys()) == ANSWERED
    assert sorted(growing_place.failed_keys()) == FAILED


@pytest.mark.parametrize("lost", ["path", "failed"])
def test_lost_file_is_filled_again(file_place: FilePlace, lost: str) -> None:
    """When either file has gone, both come back whole."""
    cursor = drive(file_place.make(), None, LOG, finish=True)
    victim: Path = getattr(file_place, lost)
    victim.unlink()
    drive(file_place.make(), cursor, LOG, finish=True)
    assert file_place.keys() == ANSWERED
    assert file_place.failed_keys() == FAILED


def test_edited_file_is_kept(file_place: FilePlace) -> None:
    """A file that was edited by hand is kept under another name, and the answers are written anew."""
    cursor = drive(file_place.make(), None, LOG, finish=True)
    file_place.path.write_text("edited by hand, and longer than before" * 100)
    drive(file_place.make(), cursor, LOG, finish=True)
    assert file_place.keys() == ANSWERED
    spare = file_place.path.with_name(file_place.path.name + ".1.bak")
    assert spare.read_text().startswith("edited by hand")


@pytest.mark.parametrize("which", ["path", "failed"])
def test_file_that_came_meanwhile_is_kept(file_place: FilePlace, which: str) -> None:
    """What another run wrote to a place where this one had nothing yet is kept under another name."""
    cursor = drive(file_place.make(), None, [])
    foreign: Path = getattr(file_place, which)
    foreign.write_text("precious")
    drive(file_place.make(), cursor, LOG, finish=True)
    assert foreign.with_name(foreign.name + ".1.bak").read_text() == "precious"
    assert file_place.keys() == ANSWERED
    assert file_place.failed_keys() == FAILED


@pytest.mark.parametrize("which", ["path", "failed"])
def test_foreign_file_is_refused(file_place: FilePlace, which: str) -> None:
    """A file that is not this run's is neither overwritten nor appended to."""
    foreign: Path = getattr(file_place, which)
    foreign.write_text("precious")
    with pytest.raises(UsageError, match="is not this run's"):
        drive(file_place.make(), None, LOG)
    assert foreign.read_text() == "precious"


def test_fresh_overwrites(file_place: FilePlace) -> None:
    """With `overwrite` what was there before goes, in both files."""
    file_place.path.write_text("old")
    file_place.failed.write_text("old")
    drive(file_place.make(overwrite=True), None, LOG, finish=True)
    assert file_place.keys() == ANSWERED
    assert file_place.failed_keys() == FAILED


def test_finishing_again_changes_nothing(file_place: FilePlace) -> None:
    """A finished run that is started again leaves its files as they are."""
    cursor = drive(file_place.make(), None, LOG, finish=True)
    before = file_place.path.stat()
    assert drive(file_place.make(), cursor, LOG, finish=True) == cursor
    after = file_place.path.stat()
    # Not the time of the last access: finding out that nothing is to be done reads the file.
    assert (after.st_ino, after.st_size, after.st_mtime_ns) == (before.st_ino, before.st_size, before.st_mtime_ns)


def test_no_temporary_file_stays(file_place: FilePlace) -> None:
    """The end leaves the output and its failed file, nothing else."""
    drive(file_place.make(), None, LOG, finish=True)
    assert {path.name for path in file_place.path.parent.iterdir()} == {file_place.path.name, "out.failed.jsonl"}


@settings(max_examples=60, deadline=None)
@given(kind=st.sampled_from(GROWING), delivered=st.integers(1, 10), cut=st.floats(0, 1), data=st.data())
def test_cut_anywhere(kind: str, delivered: int, cut: float, data: Any) -> None:
    """Whatever length a crash leaves a file at, going on brings every answer and every failure once."""
    with tempfile.TemporaryDirectory() as folder:
        place = FILES[kind](Path(folder))
        cursor = drive(place.make(), None, LOG[:delivered])
        victim = data.draw(st.sampled_from([path for path in (place.path, place.failed) if path.exists()]))
        with victim.open("r+b") as file:
            file.truncate(int(victim.stat().st_size * cut))
        drive(place.make(), cursor, LOG)
        assert sorted(place.keys()) == ANSWERED
        assert sorted(place.failed_keys()) == FAILED
