"""A journal of ten million rows, made without a single call, to see what opening it takes."""

import asyncio
import logging
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.results import Table
from benchmarks.watched import watch

from penstock.engine.answers import answer_of
from penstock.journal.folder import JOURNAL_FILE
from penstock.journal.journal import Journal
from penstock.models import Attempt, Result, Status, Task, Usage

ROWS = 10_000_000
SETTLED = 0.9
CHUNK = 1000
NAME = "ten-million"
BODY = b'{"choices":[{"index":0,"message":{"role":"assistant","content":"yes"},"finish_reason":"stop"}]}'
STRAGGLER = 7
"""A row near the beginning that is never settled: everything behind it has to be looked over when the run reopens."""

_log = logging.getLogger("scale")


def table(folder: Path, rows: int = ROWS) -> Table:
    """Make the journal in `folder`; what it takes to make, to open, and to ask."""
    run = folder / ".penstock" / NAME
    first_us, last_us = asyncio.run(_make(run, rows))
    size = sum(path.stat().st_size for path in run.glob(f"{JOURNAL_FILE}*"))
    code = f"from benchmarks.ten_million import reopen; reopen({str(run)!r})"
    reopened = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    status = watch([Path(sys.executable).parent / "penstock", "status", NAME], folder, run)
    lines = [
        ["to take and settle a row, the first tenth", f"{first_us:.0f} µs"],
        ["to take and settle a row, the last tenth", f"{last_us:.0f} µs"],
        ["size", f"{size / 1e9:.1f} GB, {size / rows:,.0f} bytes a row"],
        ["opened, with its first pending rows", reopened.strip()],
        ["`penstock status`", f"{status.seconds:.2f} s"],
    ]
    title = f"A journal of {rows:,} rows, {SETTLED:.0%} of them settled, all but one in order"
    return Table(title, ["what", "measured"], lines)


def reopen(run: str) -> None:
    """Open the journal as a run does, up to the first rows that are pending, and write how long that took."""
    asyncio.run(_reopen(Path(run)))


async def _reopen(run: Path) -> None:
    began_s = time.perf_counter()
    journal = Journal(run, answer_of)
    opened_s = time.perf_counter()
    (first,) = await journal.load_pending()
    second = (await journal.load_pending())[0]
    loaded_s = time.perf_counter()
    assert first.index == STRAGGLER
    sys.stdout.write(
        f"{opened_s - began_s:.2f} s; the straggler and row {second.index:,} {loaded_s - opened_s:.2f} s later"
    )
    await journal.aclose()


async def _make(run: Path, rows: int) -> tuple[float, float]:
    """Take all rows and settle most; microseconds a row at the beginning and at the end."""
    journal = Journal(run, answer_of, window=CHUNK)
    journal.on_trouble = _stop
    journal.start()
    settled = int(rows * SETTLED)
    tenth = settled // 10
    times_s = [time.perf_counter()]
    for first in range(0, rows, CHUNK):
        tasks = await journal.accept([_task(index) for index in range(first, first + CHUNK)], {"offset": first})
        if first < settled:
            for task in tasks:
                if task.index != STRAGGLER:
                    journal.settle(_result(task))
            await journal.flush()
            if (first + CHUNK) % tenth == 0:
                times_s.append(time.perf_counter())
                _log.info("%d rows settled, %.0f s", first + CHUNK, times_s[-1] - times_s[0])
    await journal.aclose()
    return (times_s[1] - times_s[0]) / tenth * 1e6, (times_s[-1] - times_s[-2]) / tenth * 1e6


def _stop(trouble: Exception) -> None:
    raise trouble


def _task(index: int) -> Task:
    key = f"row-{index}"
    return Task(key, index, f'{{"id":"{key}"}}'.encode(), {"id": key}, f"rows.jsonl:{index + 1}")


def _result(task: Task) -> Result:
    return Result(
        task.key,
        task.index,
        Status.OK,
        task.raw,
        task.where,
        api="chat",
        model="m",
        endpoint="e",
        body=BODY,
        finish_reason="stop",
        usage=Usage(10, 0, 1, 0),
        latency_ms=12.5,
        attempts=(Attempt("e", 1.7e9, 12.5),),
        finished_at=1.7e9,
    )
