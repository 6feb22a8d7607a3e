"""The journal: what was taken, what was settled, and what a crash leaves."""

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec
import pytest

from penstock.errors import JournalError, RunLocked
from penstock.journal.folder import JOURNAL_FILE
from penstock.journal.journal import Journal
from penstock.journal.reader import JournalReader
from penstock.journal.verify import verify
from penstock.models import Attempt, Failure, Fault, Result, Settled, Status, Task, Usage


def answer_of(api: str, body: bytes) -> tuple[str | None, msgspec.Raw | None]:
    """The text of a body is the body."""
    return body.decode(), None


def task(index: int, key: str | None = None) -> Task:
    """A task whose row says its index."""
    raw = msgspec.json.encode({"n": index})
    return Task(key or f"k{index}", index, raw, {"n": index}, f"f.jsonl:{index + 1}")


def answered(of: Task, status: Status = Status.OK) -> Result:
    """A good result of a task."""
    body = f"answer {of.index}".encode()
    usage = Usage(3, 0, 2, 0)
    attempts = (Attempt("e", 1.0, 2.0),)
    return Result(
        of.key, of.index, status, of.raw, of.where, api="chat", model="m", body=body, usage=usage, attempts=attempts
    )


def failed(of: Task, fault: Fault = Fault.REJECTED) -> Result:
    """A failed result of a task."""
    return Result(
        of.key,
        of.index,
        Status.FAILED,
        of.raw,
        of.where,
        failure=Failure(fault, "no"),
        attempts=(Attempt("e", 1.0, 2.0, fault),),
    )


def with_journal(folder: Path, work: Callable[[Journal], Coroutine[Any, Any, None]]) -> None:
    """Open, start, work, close."""

    async def session() -> None:
        journal = Journal(folder, answer_of, window=4)
        journal.start()
        try:
            await work(journal)
        finally:
            await journal.aclose()

    asyncio.run(session())


def test_pending_is_what_was_accepted_and_not_settled(tmp_path: Path) -> None:
    """A later process gets exactly the unsettled tasks, and goes on at the source's last position."""

    async def first(journal: Journal) -> None:
        tasks = await journal.accept([task(i) for i in range(5)], {"offset": 50})
        for each in (tasks[0], tasks[1], tasks[3]):
            journal.settle(answered(each))

    async def second(journal: Journal) -> None:
        assert [each.index for each in await journal.load_pending()] == [2, 4]
        assert await journal.load_pending() == []

    with_journal(tmp_path, first)
    journal = Journal(tmp_path, answer_of)
    assert journal.position() == {"offset": 50}
    assert journal.totals.pending == 2
    asyncio.run(journal.aclose())
    with_journal(tmp_path, second)


def test_pending_tasks_are_found_behind_long_stretches_of_settled_ones(tmp_path: Path) -> None:
    """One straggler at the beginning, and one in the middle of a chunk far behind it."""
    pending = [1, 3_007, 5_999]

    async def first(journal: Journal) -> None:
        for start in range(0, 6_000, 500):
            for each in await journal.accept([task(i) for i in range(start, start + 500)], {}):
                if each.index not in pending:
                    journal.settle(answered(each))

    async def second(journal: Journal) -> None:
        found = []
        while tasks := await journal.load_pending():
            found += [each.index for each in tasks]
        assert found == pending

    with_journal(tmp_path, first)
    with_journal(tmp_path, second)


def test_commits_are_announced_in_order_and_without_gaps(tmp_path: Path) -> None:
    """Every settled result is announced once, numbered from 1."""
    seen: list[Settled] = []

    async def work(journal: Journal) -> None:
        journal.on_commit = seen.extend
        tasks = await journal.accept([task(i) for i in range(100)], {})
        for each in tasks:
            journal.settle(answered(each))
            if each.index % 7 == 0:
                await journal.flush()
        await journal.flush()

    with_journal(tmp_path, work)
    assert [settled.seq for settled in seen] == list(range(1, 101))
    assert [settled.result.index for settled in seen] == list(range(100))


def test_a_repeated_key_becomes_an_error_with_a_key_of_its_own(tmp_path: Path) -> None:
    """Within a chunk and across chunks, the first keeps the key and the others say who has it."""
    accepted: list[Task] = []

    async def work(journal: Journal) -> None:
        accepted.extend(await journal.accept([task(0, "a"), task(1, "a"), task(2, "a#1")], {}))
        accepted.extend(await journal.accept([task(3, "a"), task(4, "b")], {}))

    with_journal(tmp_path, work)
    assert [each.key for each in accepted] == ["a", "a#1#", "a#1", "a#3", "b"]
    assert [each.error is None for each in accepted] == [True, False, True, False, True]
    assert "used before, by row 1" in str(accepted[3].error)


def test_what_was_sent_before_is_told_apart_from_what_is_sent_now(tmp_path: Path) -> None:
    """It may be asked for late: what this process sent meanwhile is not among it."""

    async def first(journal: Journal) -> None:
        for each in await journal.accept([task(i) for i in range(3)], {}):
            journal.settle(answered(each))

    async def second(journal: Journal) -> None:
        for each in await journal.accept([task(3)], {}):
            journal.settle(answered(each))
        await journal.flush()
        assert [sent.ago_s for sent in journal.sent_since(0.5, 11.0)] == [10.0] * 3
        assert journal.sent_since(2.0, 11.0) == []

    with_journal(tmp_path, first)
    with_journal(tmp_path, second)


def test_answers_are_kept_byte_for_byte(tmp_path: Path) -> None:
    """What is read back is what was settled, with text and output decoded anew."""

    async def work(journal: Journal) -> None:
        tasks = await journal.accept([task(0), task(1)], {})
        journal.settle(failed(tasks[1]))
        journal.settle(answered(tasks[0]))

    with_journal(tmp_path, work)
    reader = JournalReader(tmp_path / JOURNAL_FILE, answer_of)
    good, bad = reader.in_order()
    assert good == msgspec.structs.replace(answered(task(0)), text="answer 0")
    assert bad == failed(task(1))
    assert [settled.result.index for settled in reader.after(0, 10)] == [1, 0]
    found = reader.find("k1")
    assert found is not None
    assert found[0].data == {"n": 1}
    reader.close()


def test_failures_can_be_reopened_and_replaced(tmp_path: Path) -> None:
    """A retried task has one current result; the journal verifies throughout."""

    async def first(journal: Journal) -> None:
        tasks = await journal.accept([task(i) for i in range(4)], {})
        for each in tasks:
            journal.settle(failed(each) if each.index % 2 else answered(each))

    async def second(journal: Journal) -> None:
        tasks = await journal.load_pending()
        assert [each.index for each in tasks] == [1, 3]
        journal.settle(answered(tasks[0]))

    with_journal(tmp_path, first)
    journal = Journal(tmp_path, answer_of)
    assert journal.reopen_failures() == 2
    assert journal.totals.pending == 2
    asyncio.run(journal.aclose())
    assert verify(tmp_path / JOURNAL_FILE).problems == []
    with_journal(tmp_path, second)
    checked = verify(tmp_path / JOURNAL_FILE)
    assert checked.problems == []
    assert (checked.totals.ok, checked.totals.failed, checked.totals.pending) == (3, 0, 1)
    reader = JournalReader(tmp_path / JOURNAL_FILE, answer_of)
    assert [settled.result.index for settled in reader.after(0, 10)] == [0, 2, 1]
    reader.close()


WORK_FOREVER = """
import asyncio, sys
from pathlib import Path
from penstock.journal.journal import Journal
from penstock.models import Result, Status, Task

async def work():
    journal = Journal(Path(sys.argv[1]), lambda api, body: (body.decode(), None), window=4)
    journal.start()
    for index in range(0, 1_000_000, 3):
        tasks = [Task(f"k{i}", i, b"{}", {}, "here") for i in range(index, index + 3)]
        for task in (await journal.accept(tasks, {"n": index + 3}))[:2]:
            journal.settle(Result(task.key, task.index, Status.OK, task.raw, api="chat", body=b"answer"))
        await journal.flush()
        print(index + 3, flush=True)

asyncio.run(work())
"""


def test_a_killed_process_leaves_a_sound_journal(tmp_path: Path) -> None:
    """After SIGKILL the journal verifies, nothing announced is lost, and what was in flight is counted as unknown."""
    command = [sys.executable, "-c", WORK_FOREVER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        known = next(int(line) for line in process.stdout if int(line) >= 60)
        process.kill()
    checked = verify(tmp_path / JOURNAL_FILE)
    assert checked.problems == []
    assert checked.totals.accepted >= known
    assert checked.totals.ok >= known * 2 // 3
    journal = Journal(tmp_path, answer_of, window=4)
    assert journal.totals.unknown == 4
    asyncio.run(journal.aclose())


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    """While one journal is open, another on the same run says who has it."""
    journal = Journal(tmp_path, answer_of)
    with pytest.raises(RunLocked, match=str(os.getpid())):
        Journal(tmp_path, answer_of)
    asyncio.run(journal.aclose())


@pytest.mark.parametrize("content", [b"not a database at all, but text\n" * 50, b"SQLite format 3\0" + b"\0" * 200])
def test_a_file_that_is_no_journal_is_refused(tmp_path: Path, content: bytes) -> None:
    """A damaged journal is an error in words, never a traceback of SQLite."""
    (tmp_path / JOURNAL_FILE).write_bytes(content)
    with pytest.raises(JournalError):
        Journal(tmp_path, answer_of)


def test_a_newer_journal_is_refused(tmp_path: Path) -> None:
    """A journal of a later version is left alone."""
    journal = Journal(tmp_path, answer_of)
    asyncio.run(journal.aclose())
    connection = sqlite3.connect(tmp_path / JOURNAL_FILE)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(JournalError, match="newer"):
        Journal(tmp_path, answer_of)


def test_verify_finds_what_is_missing(tmp_path: Path) -> None:
    """Taking a result away behind the journal's back is noticed."""

    async def work(journal: Journal) -> None:
        for each in await journal.accept([task(i) for i in range(3)], {}):
            journal.settle(answered(each))

    with_journal(tmp_path, work)
    connection = sqlite3.connect(tmp_path / JOURNAL_FILE)
    connection.execute("DELETE FROM results WHERE idx = 1")
    connection.commit()
    connection.close()
    problems = verify(tmp_path / JOURNAL_FILE).problems
    assert any("results 2 to 2 are missing" in problem for problem in problems)
    assert any("low-water" in problem for problem in problems)
