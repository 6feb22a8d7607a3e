"""Bringing results to sinks: in order, once, and never at the cost of the run's calls or of memory."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from penstock.engine.answers import answer_of
from penstock.engine.delivery import LIVE_MAX_BYTES, Delivery
from penstock.errors import SinkError
from penstock.events import Ending
from penstock.journal.journal import Journal
from penstock.models import Failure, Fault, HttpResponse, Result, Settled, Status, Task
from penstock.sinks.callables import CallableSink
from penstock.sinks.protocol import Cursor
from penstock.sinks.results import Results

if TYPE_CHECKING:
    from tests.engine.conftest import ListSink, Provider, Runs

ROWS = [str(i) for i in range(40)]


def test_every_result_comes_in_the_order_of_commit(runs: Runs) -> None:
    """Numbered without a gap, and at the end once more in the order of the rows."""

    async def answer(prompt: str, attempt: int) -> HttpResponse | Failure:
        for _ in range(int(prompt) * 7 % 11):
            await asyncio.sleep(0)
        return runs.good() if int(prompt) % 3 else runs.rejected()

    sink = runs.sink()
    runs.run(ROWS, runs.provider(answer), sinks=[sink], concurrency=8)
    assert [settled.seq for settled in sink.taken] == list(range(1, 41))
    assert sorted(sink.keys, key=int) == ROWS
    assert sink.finished == ROWS
    assert sink.closed


def test_a_slow_sink_holds_no_call_back(runs: Runs) -> None:
    """While it takes its first result, every task is answered; then it gets the others."""

    async def work() -> None:
        release = asyncio.Event()
        taken: list[str] = []

        async def slow(result: Result) -> None:
            await release.wait()
            taken.append(result.key)

        provider = runs.provider()
        plan = runs.plan([str(i) for i in range(3000)], provider, sinks=[CallableSink(slow)], concurrency=20)
        run = asyncio.create_task(runs.execute(plan))
        await provider.until(lambda provider: provider.answered == 3000)
        assert taken == []
        release.set()
        assert (await run).ending is Ending.FINISHED
        assert sorted(taken, key=int) == [str(i) for i in range(3000)]

    asyncio.run(work())


def big_result(index: int, size: int) -> Result:
    """An answer of this size."""
    return Result(str(index), index, Status.OK, b"{}", api="none", body=bytes(size))


class StuckSink:
    """Takes nothing until it is released."""

    name = "stuck"
    path: Path | None = None
    failed_path: Path | None = None

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.began = asyncio.Event()
        self.indexes: list[int] = []

    async def open(self, cursor: Cursor | None) -> Cursor:
        """Begin."""
        return {"seq": 0}

    async def deliver(self, batch: Sequence[Settled]) -> Cursor:
        """Wait, and note the place of each result."""
        self.began.set()
        await self.release.wait()
        self.indexes += [settled.result.index for settled in batch]
        return {"seq": batch[-1].seq}

    async def finish(self, results: Results) -> Cursor:
        """Nothing to do."""
        return {"seq": len(self.indexes)}

    async def aclose(self) -> None:
        """Nothing is held."""


@pytest.mark.parametrize(
    ("count", "size", "most_bytes"),
    [(100, 1_000_000, 2 * LIVE_MAX_BYTES), (30_000, 0, LIVE_MAX_BYTES // 4)],
    ids=["large answers", "many small ones"],
)
def test_a_sink_that_is_stuck_costs_bounded_memory(tmp_path: Path, count: int, size: int, most_bytes: int) -> None:
    """Beyond the limit results wait on disk alone, and all of them still come, in order."""

    async def work() -> None:
        journal, sink = Journal(tmp_path, answer_of, window=1000), StuckSink()
        delivery = Delivery(sink, journal)
        await delivery.open()
        journal.on_commit = delivery.offer
        journal.start()
        task = asyncio.create_task(delivery.run())
        tasks = [Task(str(i), i, b"{}", {}, "row") for i in range(count)]
        for first in range(0, count, 10_000):
            await journal.accept(tasks[first : first + 10_000], {})
        before = tracemalloc.get_traced_memory()[0]
        for index in range(count):
            journal.settle(big_result(index, size))
            if index % max(1, count // 80) == 0:
                await journal.flush()
        await journal.flush()
        await sink.began.wait()
        assert tracemalloc.get_traced_memory()[0] - before < most_bytes
        sink.release.set()
        await delivery.caught_up()
        assert sink.indexes == list(range(count))
        task.cancel()
        await delivery.aclose()
        await journal.aclose()

    tracemalloc.start()
    try:
        asyncio.run(work())
    finally:
        tracemalloc.stop()


def in_two_batches(runs: Runs, sink: ListSink) -> Provider:
    """Answers some rows, and the others only when the sink has taken a batch."""

    async def answer(prompt: str, attempt: int) -> HttpResponse:
        if int(prompt) >= 10:
            await sink.first_taken.wait()
        return runs.good()

    return runs.provider(answer)


def test_a_sink_that_refuses_pauses_the_run_and_gets_the_rest_later(runs: Runs) -> None:
    """Exactly once each, over both runs, and nothing is asked twice."""
    first = runs.sink(refuse_after=1)
    provider = in_two_batches(runs, first)
    paused = runs.run(ROWS, provider, sinks=[first], concurrency=2)
    assert (paused.ending, paused.reason, first.finished) == (Ending.PAUSED, "The list is full.", None)
    assert 0 < len(first.taken) < 40

    second = runs.sink(kept=first.taken)
    finished = runs.run(ROWS, provider, sinks=[second], concurrency=2)
    assert finished.ending is Ending.FINISHED
    assert [settled.seq for settled in second.taken] == list(range(1, 41))
    assert sorted(second.keys, key=int) == sorted(provider.prompts, key=int) == ROWS


def test_a_sink_that_refuses_does_not_keep_others_from_theirs(runs: Runs) -> None:
    """The pause is said after the other one has everything that was settled."""
    bad, good = runs.sink("bad", refuse_after=0), runs.sink("good")
    finished = runs.run(ROWS, runs.provider(), sinks=[bad, good], concurrency=2)
    assert finished.ending is Ending.PAUSED
    assert len(good.taken) == finished.totals.settled > 0


def test_sinks_go_on_each_from_its_own_place(runs: Runs) -> None:
    """One that was behind gets what it lacks, the other only what is new."""
    behind, ahead = runs.sink("behind", refuse_after=1), runs.sink("ahead")
    runs.run(ROWS, in_two_batches(runs, behind), sinks=[behind, ahead], concurrency=2)
    had = len(ahead.taken)
    behind, ahead = runs.sink("behind", kept=behind.taken), runs.sink("ahead", kept=ahead.taken)
    runs.run(ROWS, runs.provider(), sinks=[behind, ahead], concurrency=2)
    assert [settled.seq for settled in ahead.taken] == [settled.seq for settled in behind.taken] == list(range(1, 41))
    assert ahead.opened_with == {"seq": had}
    assert behind.opened_with is not None
    assert 0 < behind.opened_with["seq"] < had


def test_a_new_sink_is_filled_from_the_beginning(runs: Runs) -> None:
    """Of a run that is done; nothing is sent."""
    runs.run(ROWS, runs.provider())
    provider, sink = runs.provider(), runs.sink("new")
    assert runs.run(ROWS, provider, sinks=[sink]).ending is Ending.FINISHED
    assert sorted(sink.keys, key=int) == ROWS == sink.finished
    assert provider.prompts == []


@pytest.mark.parametrize("before", [0, 40])
def test_a_sink_that_lost_everything_gets_everything_again(runs: Runs, before: int) -> None:
    """It may go back behind its cursor, in the middle of a run too."""
    runs.run(ROWS[:before], runs.provider(), sinks=[runs.sink()])
    sink = runs.sink(forgets=True)
    runs.run(ROWS, runs.provider(), sinks=[sink])
    assert sorted(sink.keys, key=int) == ROWS


def test_results_that_were_superseded_do_not_come_again(runs: Runs) -> None:
    """A sink that had the failures gets the answers after them; a sink that is new gets the answers alone."""
    provider = runs.provider(
        lambda prompt, attempt: runs.rejected() if prompt in "ac" and attempt == 1 else runs.good()
    )
    old, new = runs.sink("old"), runs.sink("new")
    runs.run([*"abc"], provider, sinks=[old], concurrency=1)
    runs.run(None, provider, sinks=[old, new], retry_failures=True, concurrency=1)
    assert old.keys == ["0", "1", "2", "0", "2"]
    assert new.keys == ["1", "0", "2"]
    assert {settled.result.status for settled in new.taken} == {Status.OK}
    assert old.finished == new.finished == ["0", "1", "2"]


def test_a_stretch_of_superseded_results_does_not_hang_a_new_sink(runs: Runs) -> None:
    """Also when there is nothing after it but failures that were reopened and not yet answered."""
    runs.run([*"abc"], runs.provider(lambda prompt, attempt: runs.rejected()))
    trouble = runs.provider(lambda prompt, attempt: msgspec.structs.replace(runs.rejected(), fault=Fault.ACCOUNT))
    sink = runs.sink("new")
    assert runs.run(None, trouble, sinks=[sink], retry_failures=True).ending is Ending.PAUSED
    assert sink.taken == []


class BadEnding:
    """A sink whose files cannot be put in order."""

    name = "bad ending"
    path: Path | None = None
    failed_path: Path | None = None

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def open(self, cursor: Cursor | None) -> Cursor:
        """Go on."""
        return cursor or {"seq": 0}

    async def deliver(self, batch: Sequence[Settled]) -> Cursor:
        """Take everything."""
        return {"seq": batch[-1].seq}

    async def finish(self, results: Results) -> Cursor:
        """Fail."""
        raise self._error

    async def aclose(self) -> None:
        """Nothing is held."""


def test_a_sink_that_cannot_finish_pauses_the_run(runs: Runs) -> None:
    """Everything is settled; the same command finishes it, and asks nothing."""
    sinks = [BadEnding(SinkError("No space.", "Make some.")), runs.sink()]
    paused = runs.run(ROWS, runs.provider(), sinks=sinks)
    assert (paused.ending, paused.reason, paused.totals.ok) == (Ending.PAUSED, "No space.", 40)
    provider, sink = runs.provider(), runs.sink()
    assert runs.run(ROWS, provider, sinks=[sink]).ending is Ending.FINISHED
    assert (sink.finished, provider.prompts) == (ROWS, [])


class Broken(BadEnding):
    """A sink with a mistake in it."""

    name = "broken"

    async def deliver(self, batch: Sequence[Settled]) -> Cursor:
        """Fail."""
        raise self._error


def test_a_mistake_in_a_sink_ends_the_run_with_it(runs: Runs) -> None:
    """It is not taken for a full disk; what is in flight lands, and what was settled is kept."""
    provider = runs.provider()
    with pytest.raises(ZeroDivisionError):
        runs.run(ROWS, provider, sinks=[Broken(ZeroDivisionError())], concurrency=2)
    assert len(runs.results()) == len(provider.prompts)


def test_a_sink_that_cancels_itself_does_not_hang_the_run(runs: Runs) -> None:
    """Nor does the run look as if somebody outside had cancelled it."""

    async def cancelled(result: Result) -> None:
        raise asyncio.CancelledError

    with pytest.raises(RuntimeError, match="cancelled a run that nobody had given up"):
        runs.run(ROWS, runs.provider(), sinks=[CallableSink(cancelled)])


def test_a_run_that_stops_early_brings_what_it_has(runs: Runs) -> None:
    """A pause for another reason leaves no settled result undelivered, and puts nothing in order."""
    kinds = runs.provider(
        lambda prompt, attempt: (
            runs.good() if int(prompt) < 10 else msgspec.structs.replace(runs.rejected(), fault=Fault.ACCOUNT)
        )
    )
    sink = runs.sink()
    finished = runs.run(ROWS, kinds, sinks=[sink], concurrency=1)
    assert finished.ending is Ending.PAUSED
    assert (sink.keys, sink.finished) == (ROWS[:10], None)


def test_waiting_for_the_last_result_never_misses_it(tmp_path: Path) -> None:
    """Offering, delivering and asking whether all is delivered interleave in every way, and none waits for ever."""

    async def work() -> None:
        journal, sink = Journal(tmp_path, answer_of, window=1000), StuckSink()
        sink.release.set()
        delivery = Delivery(sink, journal)
        await delivery.open()
        journal.on_commit = delivery.offer
        journal.start()
        task = asyncio.create_task(delivery.run())
        await journal.accept([Task(str(i), i, b"{}", {}, "row") for i in range(300)], {})
        for index in range(300):
            journal.settle(big_result(index, 10))
            await journal.flush()
            for _ in range(index % 7):
                await asyncio.sleep(0)
            if index % 3 == 0:
                await delivery.caught_up()
                assert sink.indexes == list(range(index + 1))
        task.cancel()
        await delivery.aclose()
        await journal.aclose()

    asyncio.run(work())
