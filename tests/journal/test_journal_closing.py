"""How a journal ends: cancelled half-way, twice, with writes that fail. Whoever waits for it must not wait for ever."""

import asyncio
import os
import sqlite3
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from penstock.errors import RunLocked, RunPaused
from penstock.journal.folder import JOURNAL_FILE
from penstock.journal.journal import Journal
from penstock.journal.lock import RunLock
from penstock.journal.verify import verify
from penstock.journal.writer import Writer
from penstock.models import Attempt, Result, Settled, Status, Task

HARD_LIMIT_S = 60.0


def answer_of(api: str, body: bytes) -> tuple[str | None, msgspec.Raw | None]:
    """The text of a body is the body."""
    return body.decode(), None


def tasks(first: int, count: int) -> list[Task]:
    """Consecutive tasks."""
    return [Task(f"k{i}", i, b"{}", {}, "row") for i in range(first, first + count)]


def answered(task: Task, body: bytes = b"yes") -> Result:
    """A good result of a task, at its first attempt."""
    attempts = (Attempt("e", 1.0, 2.0),)
    return Result(task.key, task.index, Status.OK, task.raw, api="chat", body=body, attempts=attempts)


def in_time(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Do the work, or fail when it hangs."""

    async def bounded() -> None:
        await asyncio.wait_for(work(), HARD_LIMIT_S)

    asyncio.run(bounded())


@pytest.mark.parametrize("turns", range(8))
def test_closing_that_is_cancelled_goes_on(tmp_path: Path, turns: int) -> None:
    """At whatever moment: a second close waits for the first, everything is committed, and the run is let go."""

    async def work() -> None:
        journal = Journal(tmp_path, answer_of, window=10)
        journal.start()
        for task in await journal.accept(tasks(0, 10), {}):
            journal.settle(answered(task))
        closing = asyncio.create_task(journal.aclose({"ending": "paused"}))
        for _ in range(turns):
            await asyncio.sleep(0)
        closing.cancel()
        await asyncio.gather(closing, return_exceptions=True)
        await journal.aclose()
        journal = Journal(tmp_path, answer_of)
        assert (journal.totals.ok, journal.recall("session")) == (10, None)
        await journal.aclose()

    in_time(work)


def test_waiting_that_is_cancelled_holds_nobody_else_up(tmp_path: Path) -> None:
    """Others who wait for the same commit hear of it, and what was settled is announced."""

    async def work() -> None:
        journal = Journal(tmp_path, answer_of, window=10)
        seen: list[Settled] = []
        journal.on_commit = seen.extend
        journal.start()
        first, second = await journal.accept(tasks(0, 2), {})
        journal.settle(answered(first))
        given_up = asyncio.create_task(journal.flush())
        await asyncio.sleep(0)
        given_up.cancel()
        journal.settle(answered(second))
        await journal.flush()
        assert [settled.seq for settled in seen] == [1, 2]
        await journal.aclose()

    in_time(work)


def test_tasks_that_were_taken_while_nobody_waited_are_pending(tmp_path: Path) -> None:
    """The counts say so at once, and the next process gets them."""

    async def work() -> None:
        journal = Journal(tmp_path, answer_of, window=10)
        journal.start()
        taking = asyncio.create_task(journal.accept(tasks(0, 5), {"n": 5}))
        await asyncio.sleep(0)
        taking.cancel()
        await journal.flush()
        assert (journal.totals.accepted, journal.totals.pending) == (5, 5)
        await journal.aclose()
        journal = Journal(tmp_path, answer_of)
        assert [task.index for task in await journal.load_pending()] == [0, 1, 2, 3, 4]
        await journal.aclose()

    in_time(work)


class Stubborn:
    """A write that fails with something that is not SQLite's."""

    def __init__(self) -> None:
        self.error: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()

    def apply(self, connection: sqlite3.Connection) -> None:
        """Fail."""
        raise OverflowError("too large")

    def committed(self) -> None:
        """It cannot be."""

    def failed(self, error: Exception) -> None:
        """Note why."""
        self.error.set_result(error)


def test_a_write_that_fails_in_any_way_is_told(tmp_path: Path) -> None:
    """The thread lives on, and closes."""

    async def work() -> None:
        connection = sqlite3.connect(tmp_path / "db", isolation_level=None, check_same_thread=False)
        writer = Writer(connection, tmp_path / "reserve", lambda: None)
        for _ in range(2):
            write = Stubborn()
            writer.put(write)
            assert isinstance(await write.error, OverflowError)
        await writer.aclose()
        connection.close()

    in_time(work)


@pytest.mark.parametrize("given_up", [0, 3])
def test_what_was_given_up_is_counted_when_the_session_ends(tmp_path: Path, given_up: int) -> None:
    """Once, whoever closes."""

    async def work() -> None:
        journal = Journal(tmp_path, answer_of, window=10)
        journal.start()
        await journal.accept(tasks(0, 5), {})
        journal.given_up = given_up
        await journal.aclose()
        await journal.aclose()
        journal = Journal(tmp_path, answer_of)
        assert journal.totals.unknown == given_up
        await journal.aclose()

    in_time(work)


def test_a_write_that_failed_is_not_counted_by_those_after_it(tmp_path: Path) -> None:
    """Too large an answer finds no place, and later ones do: totals are of what stands there, the rest is disclosed."""
    troubles: list[RunPaused] = []

    async def work() -> None:
        journal = Journal(tmp_path, answer_of, window=10)
        journal.on_trouble = troubles.append
        journal.start()
        small, large, last = await journal.accept(tasks(0, 3), {})
        for task, body in ((small, b"yes"), (large, bytes(1_000_000_001)), (last, b"yes")):
            journal.settle(answered(task, body))
            await journal.flush()
        await journal.aclose()
        journal = Journal(tmp_path, answer_of)
        assert (journal.totals.ok, journal.totals.pending, journal.totals.unknown) == (2, 1, 1)
        await journal.aclose()

    in_time(work)
    assert troubles
    assert verify(tmp_path / JOURNAL_FILE).problems == []


def test_lost_calls_are_counted_once_whatever_is_written_beside_them(tmp_path: Path) -> None:
    """Together with a write that fails they fail too, and are counted when the session ends."""

    async def work() -> None:
        journal = Journal(tmp_path, answer_of, window=10)
        journal.start()
        (large,) = await journal.accept(tasks(0, 1), {})
        journal.settle(answered(large, bytes(1_000_000_001)))
        flushing = asyncio.create_task(journal.flush())
        await asyncio.sleep(0)
        journal.lose(2, 0.5, lambda: None)
        await flushing
        await journal.aclose()

    in_time(work)
    checked = verify(tmp_path / JOURNAL_FILE)
    assert (checked.totals.unknown, checked.totals.unknown_cost, checked.problems) == (3, 0.5, [])


def open_files(path: Path) -> int:
    """How many descriptors of this process are of the file that stands there."""
    wanted, count = os.stat(path), 0
    for name in os.listdir("/dev/fd"):
        with suppress(OSError):  # the one that listed them
            count += os.path.samestat(os.fstat(int(name)), wanted)
    return count


def test_a_lock_on_a_run_that_was_deleted_meanwhile_is_none(tmp_path: Path) -> None:
    """Whoever waited for it while the run was deleted would work beside the next owner."""
    lock = tmp_path / "lock"
    holder = RunLock(tmp_path)
    refused: list[RunLocked] = []

    def wait() -> None:
        try:
            RunLock(tmp_path).close()
        except RunLocked as error:
            refused.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    while open_files(lock) < 2 and waiting.is_alive():
        pass
    lock.unlink()
    holder.close()
    with RunLock(tmp_path):
        waiting.join()
    assert len(refused) == 1
