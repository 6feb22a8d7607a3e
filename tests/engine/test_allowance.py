"""What may be in flight is on disk before it flies."""

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.engine.allowance import Allowance
from penstock.engine.answers import answer_of
from penstock.journal.folder import JOURNAL_FILE
from penstock.journal.reader import JournalReader
from penstock.pricing import Price, Pricing


class Disk:
    """Takes what is asked for, when it is told to."""

    def __init__(self, calls: int, ceiling: int) -> None:
        self.allowance = Allowance(calls, ceiling, self.ask)
        self.asked: list[tuple[int, float]] = []

    def ask(self, calls: int, amount: float) -> None:
        """Note what is wanted."""
        self.asked.append((calls, amount))

    def write(self) -> None:
        """Grant the oldest wish."""
        self.allowance.grant(*self.asked.pop(0))


def test_nothing_flies_that_is_not_on_disk() -> None:
    """More is asked for in time, once, and covers only when it is written."""
    disk = Disk(4, 100)
    assert disk.allowance.covers_calls(2)
    assert disk.asked == []
    assert disk.allowance.covers_calls(3)
    assert disk.allowance.covers_calls(4)
    assert not disk.allowance.covers_calls(5)
    assert len(disk.asked) == 1
    disk.write()
    assert disk.allowance.covers_calls(5)


def test_money_is_covered_as_calls_are() -> None:
    """The first amount has to be written before anything is sent for it."""
    disk = Disk(4, 4)
    assert not disk.allowance.covers_money(0.5, 0.5)
    disk.write()
    assert disk.allowance.covers_money(0.5, 0.5)
    assert not disk.allowance.covers_money(50.0, 49.5)


def test_one_call_at_a_time_never_has_more_than_its_own_money() -> None:
    """Nothing more could be lost."""
    disk = Disk(1, 1)
    for dearest in (0.5, 0.75):
        assert not disk.allowance.covers_money(dearest, dearest)
        assert disk.asked == [(1, dearest)]
        disk.write()
        assert disk.allowance.covers_money(dearest, dearest)
    assert disk.allowance.covers_money(0.1, 0.1)
    assert disk.asked == []


def test_a_fixed_number_of_calls_writes_nothing() -> None:
    """It is on disk from the start."""
    disk = Disk(200, 200)
    assert all(disk.allowance.covers_calls(calls) for calls in range(1, 201))
    assert not disk.allowance.covers_calls(201)
    assert disk.asked == []


def test_a_higher_ceiling_lets_more_be_asked_for() -> None:
    """`penstock ctl RUN set concurrency=…` while it works."""
    disk = Disk(2, 2)
    disk.allowance.set_ceiling(8)
    assert not disk.allowance.covers_calls(3)
    disk.write()
    assert disk.allowance.covers_calls(3)


@given(st.lists(st.tuples(st.integers(1, 500), st.floats(0, 1e6)), max_size=60), st.integers(1, 500))
def test_what_is_covered_was_granted(asks: list[tuple[int, float]], ceiling: int) -> None:
    """At every step, and with a handful of writes however many calls there are."""
    disk = Disk(min(4, ceiling), ceiling)
    granted = (min(4, ceiling), 0.0)
    writes = 0
    for calls, amount in asks:
        if disk.allowance.covers_calls(calls):
            assert calls <= granted[0] <= ceiling
        if disk.allowance.covers_money(amount, amount):
            assert amount <= granted[1]
        while disk.asked:
            granted = (max(granted[0], disk.asked[0][0]), max(granted[1], disk.asked[0][1]))
            disk.write()
            writes += 1
    assert writes <= 2 * len(asks)


@given(st.lists(st.floats(0.001, 0.002), min_size=1, max_size=400), st.floats(0.001, 1.0))
def test_little_more_money_is_on_disk_than_is_reserved(calls: list[float], most: float) -> None:
    """A third at most, never more than there is, and the disk is not asked for every call."""
    disk = Disk(500, 500)
    reserved, granted, writes = 0.0, 0.0, 0
    for of_call in calls:
        if reserved + of_call > most:
            break
        while not disk.allowance.covers_money(reserved + of_call, of_call, most):
            granted = disk.asked[0][1]
            disk.write()
            writes += 1
        reserved += of_call
        if disk.asked:
            granted = disk.asked[0][1]
            disk.write()
            writes += 1
        assert reserved <= granted <= min(most, 1.31 * reserved)
    assert writes <= 60


@pytest.mark.parametrize("concurrency", [1, 7, 60])
def test_a_kill_counts_little_more_than_what_was_in_flight(runs: Any, tmp_path: Path, concurrency: int) -> None:
    """What the journal says of a process that was killed, beside what the calls that it had in flight can cost."""
    rows = [{"prompt": f"row {number:03}"} for number in range(concurrency)]
    pricing = Pricing({"m": Price(1.0, 1.0)})
    totals = []

    async def work() -> None:
        hanging = runs.provider(lambda prompt, attempt: asyncio.Event().wait())
        options = {"concurrency": concurrency, "budget": 100.0, "param": {"max_tokens": 500}, "pricing": pricing}
        run = asyncio.create_task(runs.execute(runs.plan(rows, hanging, **options)))
        await hanging.until(lambda provider: provider.in_flight == concurrency)
        shutil.copytree(runs.folder, tmp_path / "killed", ignore=shutil.ignore_patterns("*.sock"))
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)

    asyncio.run(work())
    for folder in (tmp_path / "killed", runs.folder):
        reader = JournalReader(folder / JOURNAL_FILE, answer_of)
        totals.append(reader.totals_if_killed())
        reader.close()
    killed, cancelled = totals
    assert cancelled.unknown == concurrency
    assert cancelled.unknown_cost <= killed.unknown_cost <= 1.31 * cancelled.unknown_cost
