"""Parquet files: typed columns of the result, and the row as JSON. Written as a whole at the end, in row groups."""

import asyncio
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec

from penstock.errors import MissingExtra
from penstock.models import Result, Settled, Status
from penstock.sinks.files import LineFiles, failed_line, failed_path, write_failures
from penstock.sinks.line_file import LineFile, Mark, replace_durably, temporary_path, translated
from penstock.sinks.lines import COLUMNS
from penstock.sinks.protocol import Cursor, SinkOptions
from penstock.sinks.results import Results

GROUP_ROWS = 20_000
GROUP_BYTES = 32 * 1024 * 1024
"""A row group is written when it has this many rows or its rows and bodies are this long, whichever comes first."""

VALUES = COLUMNS | {
    "finished_at": lambda result: round(result.finished_at * 1000),
    "data": lambda result: result.raw.decode(),
}
"""The columns of the file, in order, and what stands in them."""

_INTEGERS = {"index", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens", "attempts"}
_FLOATS = {"cost", "latency_ms", "queue_ms", "ttft_ms", "tokens_per_s"}


class ParquetSink:
    """Answers in a Parquet file that is there once the run has finished; failed tasks beside it while it runs.

    The cursor holds `seq`, the marks of both files, and `finished`: nothing came since the file was written.
    """

    def __init__(self, path: str | os.PathLike[str], options: SinkOptions) -> None:
        try:
            import pyarrow.parquet  # noqa: F401 - a missing package is said before anything is sent
        except ImportError:
            raise MissingExtra("Parquet files", "parquet") from None
        self.name = os.path.normpath(path)
        self.path = Path(path)
        self.failed_path = failed_path(self.path) if options.keep_failed else None
        self._overwrite = options.overwrite
        self._target = Path(os.path.realpath(path))
        self._main = LineFile(self.path)
        self._mark: Mark | None = None
        self._failed = LineFile(self.failed_path, lazy=True, fsync=options.fsync) if self.failed_path else None
        self._files = LineFiles({"failed": self._failed} if self._failed else {})
        self._seq = 0
        self._finished = False
        self._busy = threading.Lock()

    async def open(self, cursor: Cursor | None) -> Cursor:
        """Recover the failed file. A main file that is not this run's is kept under another name."""
        return await asyncio.to_thread(self._open, cursor)

    async def deliver(self, batch: Sequence[Settled]) -> Cursor:
        """Note how far the run got; only failed tasks are written now."""
        return await asyncio.to_thread(self._deliver, batch)

    async def finish(self, results: Results) -> Cursor:
        """Write the file with all current answers, in input order."""
        return await asyncio.to_thread(self._finish, results)

    async def aclose(self) -> None:
        """Close the failed file, after a write that may still be under way."""
        await asyncio.to_thread(self._close)

    def _open(self, cursor: Cursor | None) -> Cursor:
        with self._busy:
            if cursor is None and not self._overwrite:
                self._main.refuse_foreign()
            held = self._files.recover(cursor, overwrite=self._overwrite)
            kept = cursor if cursor and held else {}
            own = (cursor or {}).get("main") == msgspec.to_builtins(self._main.found())
            self._seq, self._finished = kept.get("seq", 0), own and kept.get("finished", False)
            if cursor is None:
                with translated(self.path):
                    self._target.unlink(missing_ok=True)
            elif not own:
                self._main.set_aside()
            self._mark = self._main.found()
            return self._cursor()

    def _deliver(self, batch: Sequence[Settled]) -> Cursor:
        with self._busy:
            failed = [settled.result for settled in batch if settled.result.status is Status.FAILED]
            self._files.append({"failed": b"".join(map(failed_line, failed))})
            self._seq, self._finished = batch[-1].seq, False
            return self._cursor()

    def _finish(self, results: Results) -> Cursor:
        with self._busy:
            if not self._finished:
                self._write(results)
                self._mark, self._finished = self._main.found(), True
            return self._cursor()

    def _write(self, results: Results) -> None:
        new = temporary_path(self._target)
        with ExitStack() as stack:
            stack.callback(new.unlink, missing_ok=True)
            if self._failed is not None:
                write_failures(stack.enter_context(self._failed.rewritten()), results)
            stack.enter_context(translated(self.path))
            answers = (result for result in results.in_order() if result.status is not Status.FAILED)
            _write_groups(new, _groups(answers))
            replace_durably(new, self._target)

    def _close(self) -> None:
        with self._busy:
            self._files.close()

    def _cursor(self) -> Cursor:
        main = msgspec.to_builtins(self._mark)
        return {"seq": self._seq, "finished": self._finished, "main": main, **self._files.marks()}


def _groups(results: Iterator[Result]) -> Iterator[list[Result]]:
    group: list[Result] = []
    size = 0
    for result in results:
        group.append(result)
        size += len(result.raw) + len(result.body)
        if len(group) >= GROUP_ROWS or size >= GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _write_groups(path: Path, groups: Iterator[list[Result]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    types: dict[str, pa.DataType] = dict.fromkeys(_INTEGERS, pa.int64()) | dict.fromkeys(_FLOATS, pa.float64())
    types["finished_at"] = pa.timestamp("ms", tz="UTC")
    schema = pa.schema([(name, types.get(name, pa.string())) for name in VALUES])
    with path.open("wb") as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for group in groups:
            columns = {name: [value(result) for result in group] for name, value in VALUES.items()}
            writer.write_table(pa.table(columns, schema=schema))
