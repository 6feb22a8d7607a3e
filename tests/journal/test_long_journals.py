"""Reading a long journal: it is gone through, not held."""

import asyncio
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from penstock.journal import schema
from penstock.journal.folder import JOURNAL_FILE
from penstock.journal.journal import Journal
from penstock.journal.reader import JournalReader
from penstock.journal.verify import verify
from penstock.models import Attempt, Failure, Fault, Result, Status, Task

CHUNK = 100
CHUNKS = 60
BODY = b"x" * 10_000
WHOLE_BYTES = CHUNK * CHUNKS * len(BODY)


def answer_of(api: str, body: bytes) -> tuple[str | None, msgspec.Raw | None]:
    """The text of a body is the body."""
    return body.decode(), None


def settled(task: Task) -> Result:
    """Every tenth task has failed with many words, the others have an answer of 10 kB."""
    attempts = (Attempt("e", 1.0, 2.0),)
    if task.index % 10 == 0:
        failure = Failure(Fault.REJECTED, "no", excerpt="y" * 10_000)
        return Result(task.key, task.index, Status.FAILED, task.raw, task.where, attempts=attempts, failure=failure)
    return Result(task.key, task.index, Status.OK, task.raw, task.where, api="chat", body=BODY, attempts=attempts)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has settled all that it took, far more than any reader may hold."""
    folder = tmp_path_factory.mktemp("long")

    async def work() -> None:
        journal = Journal(folder, answer_of, window=CHUNK)
        journal.start()
        for first in range(0, CHUNK * CHUNKS, CHUNK):
            rows = [Task(f"k{index}", index, b"{}", {}, "here") for index in range(first, first + CHUNK)]
            for task in await journal.accept(rows, {}):
                journal.settle(settled(task))
            await journal.flush()
        await journal.aclose()

    asyncio.run(work())
    return folder


def in_order_of_commit(reader: JournalReader) -> Iterator[object]:
    """All results, a few at a time."""
    seq = 0
    while batch := reader.after(seq, 20):
        yield from batch
        seq = batch[-1].seq


READINGS: dict[str, Callable[[JournalReader], Iterator[object]]] = {
    "in input order": JournalReader.in_order,
    "in order of commit": in_order_of_commit,
    "failures": JournalReader.failures,
    "keys of answers": lambda reader: reader.answered_keys(reader.last_seq()),
}


@pytest.mark.parametrize("reading", list(READINGS))
def test_a_reader_holds_a_small_part_of_the_journal(folder: Path, reading: str) -> None:
    """However much it reads."""
    reader = JournalReader(folder / JOURNAL_FILE, answer_of)
    tracemalloc.start()
    try:
        count = sum(1 for _ in READINGS[reading](reader))
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        reader.close()
    assert count >= CHUNK * CHUNKS // 10
    assert peak_bytes < WHOLE_BYTES // 50


def test_the_log_gives_back_what_a_long_reading_made_of_it(tmp_path: Path) -> None:
    """While one moment is read nothing of the log can be written over."""
    path = tmp_path / JOURNAL_FILE
    log = tmp_path / f"{JOURNAL_FILE}-wal"
    database = schema.connect_writer(path, "normal")
    write = "INSERT OR REPLACE INTO meta (name, value) VALUES ('long', ?)"
    block = "x" * 8_000_000
    reader = schema.connect_reader(path)
    reader.execute("BEGIN")
    assert schema.accepted(reader) == 0
    while log.stat().st_size < 2 * schema.WAL_KEPT_BYTES:
        database.execute(write, (block,))
    reader.close()
    for _ in range(3):
        database.execute(write, (block,))
    assert log.stat().st_size <= schema.WAL_KEPT_BYTES
    database.close()


def test_verifying_holds_a_small_part_of_the_journal(folder: Path) -> None:
    """Keys are compared by fingerprints, not by sets."""
    tracemalloc.start()
    try:
        verified = verify(folder / JOURNAL_FILE)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert verified.problems == []
    assert verified.delivered.count == CHUNK * CHUNKS * 9 // 10
    assert peak_bytes < WHOLE_BYTES // 50
