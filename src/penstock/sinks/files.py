"""Output files: a main file of answers and one of failed tasks beside it, advanced and recovered together."""

import asyncio
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any, Protocol

import msgspec

from penstock.errors import SinkError
from penstock.models import Result, Settled, Status
from penstock.options import Order
from penstock.sinks.line_file import LineFile, Mark, NewVersion
from penstock.sinks.lines import encode_failed
from penstock.sinks.protocol import Cursor, SinkOptions
from penstock.sinks.reorder import IndexOf, TooFarApart, in_order
from penstock.sinks.results import Results

NO_INDEX = -1
"""Below every index: what stands in a file that is empty."""


class Layout(Protocol):
    """How answers stand in a file. What it has to remember travels in the cursor as plain JSON."""

    @property
    def index_of(self) -> IndexOf | None:
        """What reads a line's index from it, where the lines of a file can be sorted as they are."""
        ...

    @property
    def complete(self) -> bool:
        """Whether everything of the lines made so far found a place in the file that was begun."""
        ...

    def start(self, results: Sequence[Result]) -> bytes:
        """Begin a file whose first lines are `results`, and return what stands above them."""
        ...

    def line(self, result: Result) -> bytes:
        """One answer, with the newline that ends it."""
        ...

    def dump(self) -> dict[str, Any]:
        """What the layout has to remember."""
        ...

    def load(self, state: Mapping[str, Any]) -> None:
        """Remember what `dump` returned; nothing, where `state` is empty."""
        ...


def failed_path(path: Path) -> Path:
    """Where the failed tasks of an output stand: `out.failed.jsonl` for `out.jsonl` and for `out.csv`."""
    return path.with_suffix(".failed.jsonl")


def failed_line(result: Result) -> bytes:
    """The line of a failed task, with its newline."""
    return encode_failed(result) + b"\n"


def write_failures(new: NewVersion, results: Results) -> None:
    """Every failed task, written whole before the file of answers is touched."""
    for result in results.failures():
        new.add(failed_line(result))
    new.complete()


class LineFiles:
    """Line files under one cursor: a batch stands in all of them, or in none."""

    def __init__(self, files: Mapping[str, LineFile]) -> None:
        self._files = files

    def recover(self, cursor: Cursor | None, *, overwrite: bool) -> bool:
        """Stand where `cursor` says and return True, or else begin empty and return False."""
        if cursor is None:
            return self._begin(overwrite=overwrite)
        marks = {name: msgspec.convert(cursor[name], Mark) for name in self._files if name in cursor}
        held = {name: name in marks and file.holds(marks[name]) for name, file in self._files.items()}
        whole = all(held.values())
        # As long as it was, and different: put in order at the end of a run that was killed before it could say so.
        ordered = any(
            not held[name] and self._files[name].found().offset == mark.offset for name, mark in marks.items()
        )
        for name, file in self._files.items():
            # Where the run had written nothing yet, what is there now may be another run's.
            if not ordered and (not held[name] or marks[name].offset == 0):
                file.set_aside()
            file.open_at(marks[name].offset if whole else 0)
        return whole

    def append(self, lines: Mapping[str, bytes]) -> None:
        """Write to each of the files what is its own."""
        before = {name: file.offset for name, file in self._files.items()}
        try:
            for name, file in self._files.items():
                file.append(lines[name])
        except SinkError:
            for name, file in self._files.items():
                # Should this fail as well, the next open cuts back by its cursor.
                with suppress(SinkError):
                    file.cut_back(before[name])
            raise

    def marks(self) -> dict[str, Any]:
        """Where each file ends, for the cursor."""
        return {name: msgspec.to_builtins(file.mark) for name, file in self._files.items()}

    def close(self) -> None:
        """Let go of all files. Safe to call twice."""
        for file in self._files.values():
            file.close()

    def _begin(self, *, overwrite: bool) -> bool:
        for file in self._files.values():
            if not overwrite:
                file.refuse_foreign()
        for file in self._files.values():
            file.open_at(0)
        return False


class FileSink:
    """Answers, whole and partial, in one file, and failed tasks in `<output>.failed.jsonl`.

    The cursor holds `seq`, the mark of each file, the layout's state, `last`: the index of the last answer while all of
    them came in input order, None once one did not, and `finished`: the order in which the files were finished, None
    when something came since. Answers that came in input order need not be put in order. With order "completion" the
    main file is not rewritten unless its layout is incomplete; a task that was answered twice then keeps both lines,
    and the later one is valid.
    """

    def __init__(self, path: str | os.PathLike[str], layout: Layout, options: SinkOptions) -> None:
        self.name = os.path.normpath(path)
        self.path = Path(path)
        self.failed_path = failed_path(self.path) if options.keep_failed else None
        self._layout = layout
        self._options = options
        self._main = LineFile(self.path, fsync=options.fsync)
        self._failed = LineFile(self.failed_path, lazy=True, fsync=options.fsync) if self.failed_path else None
        self._files = LineFiles({"main": self._main} | ({"failed": self._failed} if self._failed else {}))
        self._seq = 0
        self._last: int | None = NO_INDEX
        self._finished: Order | None = None
        self._busy = threading.Lock()

    async def open(self, cursor: Cursor | None) -> Cursor:
        """Recover both files, or begin both anew when one of them is not as it was left."""
        return await asyncio.to_thread(self._open, cursor)

    async def deliver(self, batch: Sequence[Settled]) -> Cursor:
        """Append a batch to both files."""
        return await asyncio.to_thread(self._deliver, batch)

    async def finish(self, results: Results) -> Cursor:
        """Rewrite the files so that each has the current results alone, in input order."""
        return await asyncio.to_thread(self._finish, results)

    async def aclose(self) -> None:
        """Close the files, after a write that may still be under way."""
        await asyncio.to_thread(self._close)

    def _open(self, cursor: Cursor | None) -> Cursor:
        with self._busy:
            held = self._files.recover(cursor, overwrite=self._options.overwrite)
            kept = cursor if cursor and held else {}
            self._seq, self._finished = kept.get("seq", 0), kept.get("finished")
            self._last = kept.get("last") if kept else NO_INDEX
            self._layout.load(kept.get("layout", {}))
            return self._cursor()

    def _deliver(self, batch: Sequence[Settled]) -> Cursor:
        with self._busy:
            answers = [settled.result for settled in batch if settled.result.status is not Status.FAILED]
            failed = [settled.result for settled in batch if settled.result.status is Status.FAILED]
            head = self._layout.start(answers) if answers and self._main.offset == 0 else b""
            self._files.append(
                {
                    "main": head + b"".join(map(self._layout.line, answers)),
                    "failed": b"".join(map(failed_line, failed)),
                }
            )
            self._last = _last_in_order(self._last, answers)
            self._seq, self._finished = batch[-1].seq, None
            return self._cursor()

    def _finish(self, results: Results) -> Cursor:
        with self._busy:
            if self._finished != self._options.order:
                self._rewrite(results)
                self._finished = self._options.order
            return self._cursor()

    def _rewrite(self, results: Results) -> None:
        with self._failed.rewritten() if self._failed else nullcontext() as failed:
            if failed:
                write_failures(failed, results)
            if not self._layout.complete or (self._options.order == "input" and self._last is None):
                if not self._sorted():
                    self._make_anew(results.in_order())
                self._last = None

    def _make_anew(self, results: Iterator[Result]) -> None:
        with self._main.rewritten() as new:
            new.add(self._layout.start(()))
            for result in results:
                if result.status is not Status.FAILED:
                    new.add(self._layout.line(result))

    def _sorted(self) -> bool:
        """Sort the lines as they are, which is quicker than making them anew; False where that cannot be done."""
        index_of = self._layout.index_of
        if index_of is None:
            return False
        try:
            with self._main.rewritten() as new:
                for line in in_order(self._main.lines(), index_of):
                    new.add(line)
        except (TooFarApart, ValueError):
            return False
        return True

    def _close(self) -> None:
        with self._busy:
            self._files.close()

    def _cursor(self) -> Cursor:
        kept = {"seq": self._seq, "finished": self._finished, "last": self._last, "layout": self._layout.dump()}
        return kept | self._files.marks()


def _last_in_order(last: int | None, answers: Sequence[Result]) -> int | None:
    """The index of the last answer, where each has a greater one than the answer before it; else None."""
    for answer in answers:
        if last is None or answer.index <= last:
            return None
        last = answer.index
    return last
