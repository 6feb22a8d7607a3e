"""What is sent when: exact concurrency, back-off that holds nothing back, a window over the source."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from penstock.clock import ManualClock
from penstock.engine.dispatcher import MIN_FRESH, WAITING_PER_CALL
from penstock.engine.intake import FIRST_CHUNK, MAX_CHUNK
from penstock.events import Ending
from penstock.models import Failure, Fault, HttpResponse

if TYPE_CHECKING:
    from tests.engine.conftest import Runs

AMBIGUOUS = Failure(Fault.AMBIGUOUS, "the connection was lost")
UNSENT = Failure(Fault.UNSENT, "connection refused")
OVERLOADED = Failure(Fault.OVERLOADED, "busy", 503)
LONGEST_FIRST_BACKOFF_S = 0.5


def throttled(retry_after_s: float) -> Failure:
    """Asked to wait."""
    return Failure(Fault.THROTTLED, "slow down", 429, retry_after_s=retry_after_s)


async def turns(count: int) -> None:
    """Let everything that can happen without time passing happen."""
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.parametrize(("rows", "concurrency"), [(1, 1), (50, 1), (50, 7), (300, 100), (5, 100)])
def test_exactly_the_concurrency_is_in_flight(runs: Runs, rows: int, concurrency: int) -> None:
    """So many at once as soon as there are tasks for them, and never one more."""
    full = min(rows, concurrency)
    release = asyncio.Event()

    async def hold(prompt: str, attempt: int) -> HttpResponse:
        await release.wait()
        return runs.good()

    async def work() -> None:
        provider = runs.provider(hold)
        plan = runs.plan([str(i) for i in range(rows)], provider, concurrency=concurrency)
        run = asyncio.create_task(runs.execute(plan))
        await provider.until(lambda provider: provider.in_flight == full)
        await turns(50)
        assert provider.in_flight == full
        release.set()
        finished = await run
        assert (finished.totals.ok, provider.most_in_flight) == (rows, full)

    asyncio.run(work())


def test_a_slow_answer_holds_no_other_back(runs: Runs) -> None:
    """One place stays taken; everything else goes through the other."""
    release = asyncio.Event()

    async def slow_first(prompt: str, attempt: int) -> HttpResponse:
        if prompt == "0":
            await release.wait()
        return runs.good()

    async def work() -> None:
        provider = runs.provider(slow_first)
        run = asyncio.create_task(runs.execute(runs.plan([str(i) for i in range(300)], provider, concurrency=2)))
        await provider.until(lambda provider: provider.answered == 299)
        assert provider.in_flight == 1
        release.set()
        assert (await run).totals.ok == 300

    asyncio.run(work())


@pytest.mark.parametrize("failure", [AMBIGUOUS, UNSENT, OVERLOADED])
def test_a_task_in_back_off_holds_no_place(runs: Runs, failure: Failure) -> None:
    """With one place only, the next task is sent while the first one waits for its second attempt."""
    clock = ManualClock()

    def answer(prompt: str, attempt: int) -> HttpResponse | Failure:
        if prompt == "b":
            clock.advance(LONGEST_FIRST_BACKOFF_S)
        return failure if (prompt, attempt) == ("a", 1) else runs.good()

    provider = runs.provider(answer)
    assert runs.run(["a", "b"], provider, clock, concurrency=1, draw=lambda: 0.5).totals.ok == 2
    assert provider.prompts == ["a", "b", "a"]


def test_a_task_that_is_due_goes_before_fresh_ones(runs: Runs) -> None:
    """Else a run of a million rows would finish its first row last. Only the one whose turn it was goes before it."""

    clock = ManualClock()

    def answer(prompt: str, attempt: int) -> HttpResponse | Failure:
        if prompt == "1":
            clock.advance(LONGEST_FIRST_BACKOFF_S)
        return AMBIGUOUS if (prompt, attempt) == ("0", 1) else runs.good()

    provider = runs.provider(answer)
    runs.run([str(i) for i in range(10)], provider, clock, concurrency=1, draw=lambda: 0.5)
    assert provider.prompts == ["0", "1", "2", "0", *map(str, range(3, 10))]


def test_throttling_closes_the_gate_for_all(runs: Runs) -> None:
    """Not one call of the run leaves before the provider's time has passed."""
    wait_s = 60.0
    clock, sink = ManualClock(), runs.sink()

    async def answer(prompt: str, attempt: int) -> HttpResponse | Failure:
        await provider.until(lambda provider: len(provider.prompts) >= 3)
        if (prompt, attempt) == ("0", 1):
            return throttled(wait_s)
        await provider.until(lambda provider: provider.answered >= 1)
        await turns(50)
        return runs.good()

    provider = runs.provider(answer)

    async def work() -> None:
        plan = runs.plan([str(i) for i in range(20)], provider, concurrency=3, sinks=[sink])
        run = asyncio.create_task(runs.execute(plan, clock))
        await sink.first_taken.wait()
        for seconds in (0.0, wait_s - 0.001):
            clock.advance(seconds)
            await turns(50)
            assert provider.prompts == ["0", "1", "2"]
        while not run.done():
            clock.advance(1.0)
            await turns(1)
        assert (await run).totals.ok == 20

    asyncio.run(work())


def test_being_throttled_uses_up_no_attempt(runs: Runs) -> None:
    """With one attempt only, the second one gets the answer."""

    def answer(prompt: str, attempt: int) -> HttpResponse | Failure:
        return throttled(0.001) if attempt == 1 else runs.good()

    assert runs.run(["a"], runs.provider(answer), max_attempts=1).totals.ok == 1
    assert [attempt.fault for attempt in runs.results()["0"].attempts] == [Fault.THROTTLED, None]


def test_the_memory_window_is_bounded(runs: Runs) -> None:
    """While calls are blocked, a source of a million rows is read no further than the window."""
    made = 0
    blocked_after = 500

    def rows() -> Iterator[str]:
        nonlocal made
        for number in range(1_000_000):
            made += 1
            yield str(number)

    async def work() -> None:
        async def answer(prompt: str, attempt: int) -> HttpResponse:
            ahead.append(made - provider.answered)
            if provider.answered >= blocked_after:
                await asyncio.Event().wait()
            return runs.good()

        ahead: list[int] = []
        provider = runs.provider(answer)
        run = asyncio.create_task(runs.execute(runs.plan(rows(), provider, concurrency=10)))
        await provider.until(lambda provider: provider.answered >= blocked_after and provider.in_flight == 10)
        while made - provider.answered < FIRST_CHUNK:
            await turns(1)
        await turns(200)
        ahead.append(made - provider.answered)
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
        assert max(ahead) <= MIN_FRESH + MAX_CHUNK + 10

    asyncio.run(work())


def test_tasks_in_back_off_are_bounded(runs: Runs) -> None:
    """When everything fails, no more fresh tasks are begun than may wait, whatever the length of the source."""
    begun: set[str] = set()
    concurrency = 5

    async def work() -> None:
        def answer(prompt: str, attempt: int) -> Failure:
            begun.add(prompt)
            return UNSENT

        provider = runs.provider(answer)
        rows = (str(i) for i in range(100_000))
        plan = runs.plan(rows, provider, concurrency=concurrency, patience_s=0.5)
        finished = await runs.execute(plan)
        assert finished.ending is Ending.PAUSED

    asyncio.run(work())
    assert len(begun) <= WAITING_PER_CALL * concurrency + MIN_FRESH + concurrency


class CountingClock(ManualClock):
    """Counts how often it is read."""

    reads = 0

    def monotonic_s(self) -> float:
        """Seconds moved so far."""
        self.reads += 1
        return super().monotonic_s()


@pytest.mark.parametrize("end", ["paused", "cancelled"])
def test_a_back_off_that_ends_while_draining_wakes_nobody(runs: Runs, end: str) -> None:
    """The run waits for what is in flight without turning in circles, and leaves no timer behind."""
    stopping, release = asyncio.Event(), asyncio.Event()

    async def answer(prompt: str, attempt: int) -> HttpResponse | Failure:
        await provider.until(lambda provider: len(provider.prompts) >= 3)
        if prompt == "waiting":
            return AMBIGUOUS
        if prompt == "slow" or end == "cancelled":
            stopping.set()
            await release.wait()
            return runs.good()
        await provider.until(lambda provider: provider.answered >= 1)
        stopping.set()
        return Failure(Fault.ACCOUNT, "no credit", 402)

    provider = runs.provider(answer)

    async def work() -> None:
        clock = CountingClock()
        plan = runs.plan(["waiting", "slow", "trouble"], provider, concurrency=3)
        run = asyncio.create_task(runs.execute(plan, clock))
        await stopping.wait()
        if end == "cancelled":
            run.cancel()
        await turns(100)
        before = clock.reads
        clock.advance(LONGEST_FIRST_BACKOFF_S)
        await turns(100)
        assert clock.reads - before <= 2
        release.set()
        await asyncio.gather(run, return_exceptions=True)
        before = clock.reads
        await turns(100)
        assert clock.reads == before

    asyncio.run(work())


def test_many_tasks_under_many_faults_all_end(runs: Runs) -> None:
    """Two thousand rows, every kind of fault that passes, fifty places: each is settled once, in any order."""
    faults = [UNSENT, AMBIGUOUS, OVERLOADED]

    async def answer(prompt: str, attempt: int) -> HttpResponse | Failure:
        await turns(int(prompt) % 5)
        if attempt == 1 and int(prompt) % 10 < len(faults):
            return faults[int(prompt) % 10]
        return runs.rejected() if int(prompt) % 50 == 7 else runs.good()

    sink = runs.sink()
    finished = runs.run([str(i) for i in range(2000)], runs.provider(answer), concurrency=50, sinks=[sink])
    assert (finished.ending, finished.totals.pending) == (Ending.FINISHED, 0)
    assert sorted(int(key) for key in sink.keys) == list(range(2000))


def test_a_retry_goes_with_the_landing_that_makes_room_and_not_with_the_clock(runs: Runs) -> None:
    """The one other endpoint is full; no time passes, and still the retry leaves when its call has landed."""
    release, came = asyncio.Event(), asyncio.Event()
    url = "http://127.0.0.1/v1"
    endpoints = {name: {"base_url": url, "max_concurrency": 1} for name in ("a", "b")}
    config = {"endpoints": endpoints, "models": {"*": {"endpoints": ["a", "b"]}}}

    async def first_fails(prompt: str, attempt: int) -> HttpResponse | Failure:
        if prompt == "held":
            await release.wait()
        elif attempt == 1:
            came.set()
            return OVERLOADED
        return runs.good()

    async def work() -> None:
        provider = runs.provider(first_fails)
        plan = runs.plan(["held", "fails"], provider, concurrency=2, config=config)
        run = asyncio.create_task(runs.execute(plan, ManualClock()))
        await came.wait()
        await turns(50)
        assert provider.in_flight == 1
        release.set()
        assert (await run).totals.ok == 2

    asyncio.run(work())
