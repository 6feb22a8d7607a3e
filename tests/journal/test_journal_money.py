"""What a run has cost, through failures, retries, crashes and calls that were given up."""

import asyncio
import shutil
import sqlite3
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from penstock.journal.folder import JOURNAL_FILE
from penstock.journal.journal import Journal
from penstock.journal.reader import JournalReader
from penstock.journal.verify import verify
from penstock.models import Attempt, Failure, Fault, Result, Status, Task

WINDOW = 4


def answer_of(api: str, body: bytes) -> tuple[str | None, msgspec.Raw | None]:
    """The text of a body is the body."""
    return body.decode(), None


def tasks(first: int, count: int) -> list[Task]:
    """Consecutive tasks."""
    return [Task(f"k{i}", i, b"{}", {}, "row") for i in range(first, first + count)]


def answered(task: Task, cost: float | None, unknown_costs: Sequence[float] = ()) -> Result:
    """An answer at some cost, after attempts that may have been billed."""
    attempts = (*_ambiguous(unknown_costs), Attempt("e", 1.0, 2.0, cost=cost))
    return Result(
        task.key, task.index, Status.OK, task.raw, api="chat", body=b"yes", cost=cost, currency="CNY", attempts=attempts
    )


def failed(task: Task, unknown_costs: Sequence[float] = (), cost: float | None = None) -> Result:
    """A failure after attempts that may have been billed."""
    return Result(
        task.key,
        task.index,
        Status.FAILED,
        task.raw,
        cost=cost,
        currency="CNY",
        attempts=_ambiguous(unknown_costs),
        failure=Failure(Fault.AMBIGUOUS, "no answer"),
    )


def _ambiguous(unknown_costs: Sequence[float]) -> tuple[Attempt, ...]:
    return tuple(Attempt("e", 1.0, 2.0, Fault.AMBIGUOUS, unknown_cost=cost) for cost in unknown_costs)


def opened(folder: Path) -> Journal:
    """A journal with a session begun."""
    journal = Journal(folder, answer_of, window=WINDOW)
    journal.start()
    return journal


def test_failures_cost_what_their_attempts_may_have_cost(tmp_path: Path) -> None:
    """And what they are known to have cost; an answer counts besides what was tried for it before."""

    async def work() -> None:
        journal = opened(tmp_path)
        first, second = await journal.accept(tasks(0, 2), {})
        journal.settle(failed(first, [0.25, 0.5], cost=1.0))
        journal.settle(answered(second, 2.0, [0.125]))
        await journal.aclose()

    asyncio.run(work())
    checked = verify(tmp_path / JOURNAL_FILE)
    assert checked.problems == []
    totals = checked.totals
    assert (totals.cost, totals.unknown_cost, totals.unknown) == (3.0, 0.875, 3)
    assert (totals.currency, totals.unpriced, totals.attempts) == ("CNY", 0, 4)


def test_an_answer_without_a_price_is_counted_and_a_failure_is_not(tmp_path: Path) -> None:
    """A failure without a cost has none; an answer without one has a price that nobody knows."""

    async def work() -> None:
        journal = opened(tmp_path)
        first, second = await journal.accept(tasks(0, 2), {})
        journal.settle(failed(first))
        journal.settle(answered(second, None))
        await journal.aclose()

    asyncio.run(work())
    assert verify(tmp_path / JOURNAL_FILE).totals.unpriced == 1


def test_attempts_are_kept_with_what_they_cost(tmp_path: Path) -> None:
    """The key's label, the other model, the cost: what is read back is what was settled."""
    attempts = (
        Attempt("e", 1.0, 2.0, Fault.AMBIGUOUS, unknown_cost=0.5, key="key 2", hedge=True),
        Attempt("f", 1.5, 2.0, model="other", cost=0.25),
    )

    async def work() -> None:
        journal = opened(tmp_path)
        (task,) = await journal.accept(tasks(0, 1), {})
        journal.settle(msgspec.structs.replace(answered(task, 0.25), attempts=attempts))
        await journal.aclose()

    asyncio.run(work())
    reader = JournalReader(tmp_path / JOURNAL_FILE, answer_of)
    (result,) = reader.in_order()
    reader.close()
    assert result.attempts == attempts


def test_a_killed_run_says_what_it_may_have_had_in_flight(tmp_path: Path) -> None:
    """Before anybody goes on with it, and once afterwards, however often it is opened."""
    killed = tmp_path / "killed"

    async def work() -> None:
        journal = opened(tmp_path / "live")
        await journal.accept(tasks(0, 50), {})
        await journal.allow(20, 1.5)
        assert journal.allowed == (20, 1.5)
        _kill(tmp_path / "live", killed)
        await journal.aclose()

    asyncio.run(work())
    reader = JournalReader(killed / JOURNAL_FILE, answer_of)
    assert (reader.totals_if_killed().unknown, reader.totals_if_killed().unknown_cost) == (20, 1.5)
    for _ in range(2):
        journal = Journal(killed, answer_of)
        assert (journal.totals.unknown, journal.totals.unknown_cost) == (20, 1.5)
        asyncio.run(journal.aclose())
    assert (reader.totals_if_killed().unknown, reader.totals_if_killed().unknown_cost) == (20, 1.5)
    reader.close()
    assert verify(killed / JOURNAL_FILE).problems == []


def test_the_allowance_is_never_lowered_and_ends_with_the_session(tmp_path: Path) -> None:
    """Two that overlap leave the larger of each; the next process begins with its own."""

    async def work() -> None:
        journal = opened(tmp_path)
        await asyncio.gather(journal.allow(100, 0.5), journal.allow(8, 2.0), journal.allow(50))
        assert journal.allowed == (100, 2.0)
        await journal.allow(1)
        assert journal.allowed == (100, 2.0)
        await journal.aclose()
        journal = opened(tmp_path)
        assert journal.allowed == (WINDOW, 0.0)
        await journal.aclose()

    asyncio.run(work())


def test_the_reserve_grows_with_the_allowance(tmp_path: Path) -> None:
    """What is in flight when the disk fills up must find room; one that was given up already is not made anew."""
    reserve = tmp_path / "reserve"

    async def work() -> None:
        journal = opened(tmp_path)
        before = reserve.stat().st_size
        await journal.allow(1000)
        assert reserve.stat().st_size > before
        reserve.unlink()
        await journal.allow(2000)
        assert not reserve.exists()
        await journal.aclose()

    asyncio.run(work())


def test_what_was_given_up_is_counted_at_its_price(tmp_path: Path) -> None:
    """Calls that were cancelled leave no result: they are counted when the session ends, and verified after."""

    async def work() -> None:
        journal = opened(tmp_path)
        await journal.accept(tasks(0, 2), {})
        journal.given_up, journal.given_up_cost = 2, 0.75
        await journal.aclose()

    asyncio.run(work())
    checked = verify(tmp_path / JOURNAL_FILE)
    assert (checked.totals.unknown, checked.totals.unknown_cost, checked.problems) == (2, 0.75, [])


@pytest.mark.parametrize("name", ["cost", "unknown_cost", "unknown", "attempts"])
def test_verify_finds_money_that_no_result_explains(tmp_path: Path, name: str) -> None:
    """Totals that were changed behind the journal's back are noticed."""

    async def work() -> None:
        journal = opened(tmp_path)
        (task,) = await journal.accept(tasks(0, 1), {})
        journal.settle(answered(task, 1.0, [0.5]))
        await journal.aclose()

    asyncio.run(work())
    connection = sqlite3.connect(tmp_path / JOURNAL_FILE)
    connection.execute(f"UPDATE meta SET value = json_set(value, '$.{name}', 7) WHERE name = 'totals'")
    connection.commit()
    connection.close()
    (problem,) = verify(tmp_path / JOURNAL_FILE).problems
    assert problem.startswith(f"{name.replace('_', ' ')}: the journal says 7")


def _kill(folder: Path, left: Path) -> None:
    """What a process that is killed now leaves behind."""
    shutil.copytree(folder, left)


AMOUNTS = st.integers(0, 8).map(lambda eighths: eighths / 8)
"""Exact in binary, so that sums in any order are equal."""


class Spending(RuleBasedStateMachine):
    """A run that is worked on, retried, closed and killed, beside a plain reckoning of it."""

    pending = Bundle("pending")

    @initialize()
    def begin(self) -> None:
        """An empty run."""
        self.runner = asyncio.Runner()
        self.home = Path(tempfile.mkdtemp())
        self.folders = 0
        self.accepted = 0
        self.failed: set[int] = set()
        self.spent = self.unknown_cost = 0.0
        self.unknown = 0
        self.allowed = (WINDOW, 0.0)
        self.settled = 0
        self.folder = self.home / "run"
        self.runner.run(self._open())

    async def _open(self, failures: int = 0) -> None:
        self.journal = Journal(self.folder, answer_of, window=WINDOW)
        if failures:
            assert self.journal.reopen_failures() == failures
        self.journal.start()
        while await self.journal.load_pending():
            pass
        self.allowed = (WINDOW, 0.0)

    @rule(target=pending, count=st.integers(1, 6))
    def take(self, count: int) -> object:
        """Tasks are taken."""
        accepted = self.runner.run(self._accept(tasks(self.accepted, count)))
        self.accepted += count
        return multiple(*accepted)

    async def _accept(self, wanted: list[Task]) -> list[Task]:
        return await self.journal.accept(wanted, {"n": self.accepted + len(wanted)})

    @rule(task=consumes(pending), cost=AMOUNTS, unknown=st.lists(AMOUNTS, max_size=2), well=st.booleans())
    def settle(self, task: Task, cost: float, unknown: list[float], well: bool) -> None:
        """A task is answered, or given up."""
        result = answered(task, cost, unknown) if well else failed(task, unknown, cost)
        self.runner.run(self._settle(result))
        self.spent += cost
        self.unknown_cost += sum(unknown)
        self.unknown += len(unknown)
        self.settled += 1
        if not well:
            self.failed.add(task.index)

    async def _settle(self, result: Result) -> None:
        self.journal.settle(result)
        await self.journal.flush()

    @rule(calls=st.integers(1, 40), amount=AMOUNTS)
    def allow(self, calls: int, amount: float) -> None:
        """More may be in flight."""
        self.runner.run(self.journal.allow(calls, amount))
        self.allowed = (max(calls, self.allowed[0]), max(amount, self.allowed[1]))

    @rule(calls=st.integers(1, 3), amount=AMOUNTS)
    def lose(self, calls: int, amount: float) -> None:
        """Calls are lost with what made them."""
        self.runner.run(self._lose(calls, amount))
        self.unknown += calls
        self.unknown_cost += amount

    async def _lose(self, calls: int, amount: float) -> None:
        recorded = asyncio.Event()
        self.journal.lose(calls, amount, recorded.set)
        await recorded.wait()

    @rule()
    def kill(self) -> None:
        """The process is killed, and another goes on."""
        self.folders += 1
        left = self.home / f"run{self.folders}"
        _kill(self.folder, left)
        self.runner.run(self.journal.aclose())
        self.folder = left
        self.unknown += min(self.accepted - self.settled, self.allowed[0])
        self.unknown_cost += self.allowed[1]
        self.runner.run(self._open())

    @rule(target=pending, calls=st.integers(0, 3), amount=AMOUNTS)
    def retry(self, calls: int, amount: float) -> object:
        """The session ends with calls given up, and the next one works on what failed."""
        self.journal.given_up, self.journal.given_up_cost = calls, amount
        self.runner.run(self.journal.aclose())
        self.unknown += calls
        self.unknown_cost += amount
        self.runner.run(self._open(len(self.failed)))
        self.settled -= len(self.failed)
        again = [tasks(index, 1)[0] for index in sorted(self.failed)]
        self.failed.clear()
        return multiple(*again)

    @invariant()
    def the_journal_agrees(self) -> None:
        """Every count and sum, in memory and recomputed from disk."""
        checked = verify(self.folder / JOURNAL_FILE)
        assert checked.problems == []
        for totals in (self.journal.totals, checked.totals):
            assert (totals.cost, totals.unknown, totals.unknown_cost) == (self.spent, self.unknown, self.unknown_cost)
            assert (totals.pending, totals.failed) == (self.accepted - self.settled, len(self.failed))
        assert self.journal.allowed == self.allowed

    def teardown(self) -> None:
        """Leave nothing behind."""
        self.runner.run(self.journal.aclose())
        self.runner.close()
        shutil.rmtree(self.home)


TestSpending = Spending.TestCase
TestSpending.settings = settings(max_examples=20, stateful_step_count=10, deadline=None)
