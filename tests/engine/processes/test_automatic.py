"""When calls move from this process to workers, in virtual time."""

import asyncio
from collections.abc import Callable
from typing import cast

import pytest

from penstock.clock import ManualClock
from penstock.engine.flight import End, Flight
from penstock.engine.processes.automatic import LOOK_EVERY, AutomaticExecutor, workers_for
from penstock.engine.scope import Place
from penstock.engine.work import Work
from penstock.errors import RunPaused
from penstock.models import Outcome, Request, Response, Task, Usage
from penstock.policy.announced import Announced

WORK = Work(Task("k", 0, b"{}", {}, "row"), Request("chat", "chat/completions", b"{}", "m"), 0.0)
TROUBLE = RunPaused("A worker process cannot be started.", "Look.")


class Noted:
    """An executor that only notes what it is given, and is ready when `may_open` is set."""

    def __init__(self) -> None:
        self.started: list[Flight] = []
        self.given_up: list[Flight] = []
        self.may_open = asyncio.Event()
        self.closed = False
        self.answer: Response | None = None

    async def open(self) -> None:
        """Wait until it may."""
        await self.may_open.wait()

    def start(self, flight: Flight, end: End) -> None:
        """Note it."""
        self.started.append(flight)
        if self.answer is not None:
            end(flight, self.answer, None)

    def give_up(self, flight: Flight) -> None:
        """Note it."""
        self.given_up.append(flight)

    async def aclose(self) -> None:
        """Note it."""
        self.closed = True


class Both:
    """An automatic executor over two that note, and what it says."""

    def __init__(self) -> None:
        self.here, self.there = Noted(), Noted()
        self.here.may_open.set()
        self.said: list[str] = []
        self.troubles: list[RunPaused] = []
        self.made = 0
        self.ended = 0
        self.tell: Callable[[RunPaused], None] = lambda trouble: None
        self.clock = ManualClock()
        self.in_flight = 100
        self.executor = AutomaticExecutor(
            self.here, self._make, self.clock, lambda: self.in_flight, self.said.append, self.troubles.append
        )

    def _make(self, on_trouble: Callable[[RunPaused], None]) -> Noted:
        self.made += 1
        self.tell = on_trouble
        return self.there

    def _end(self, flight: Flight, outcome: Outcome | None, announced: Announced | None) -> None:
        self.ended += 1

    def calls(self, count: int, per_s: float) -> list[Flight]:
        """Start so many calls, at an even rate."""
        flights = []
        for _ in range(count):
            self.clock.advance(1 / per_s)
            flight = Flight(WORK, cast(Place, None), 0.0, None, False)
            self.executor.start(flight, self._end)
            flights.append(flight)
        return flights

    async def turn(self) -> None:
        """Let whatever waits go on."""
        for _ in range(5):
            await asyncio.sleep(0)


@pytest.mark.parametrize(("cores", "workers"), [(1, 0), (2, 1), (3, 1), (4, 2), (64, 2)])
def test_a_worker_for_every_two_cores(cores: int, workers: int) -> None:
    """Beside this process, and two are all that it can keep busy."""
    assert workers_for(cores) == workers


@pytest.mark.parametrize(("per_s", "made"), [(500, 0), (900, 0), (1_200, 1), (20_000, 1)])
def test_many_calls_a_second_are_what_workers_are_for(per_s: float, made: int) -> None:
    """Not many calls in all."""

    async def story() -> None:
        both = Both()
        both.calls(10 * LOOK_EVERY + int(3 * per_s), per_s)
        await both.turn()
        assert both.made == made

    asyncio.run(story())


@pytest.mark.parametrize(("in_flight", "made"), [(900, 1), (1_100, 0), (5_000, 0)])
def test_long_calls_stay(in_flight: int, made: int) -> None:
    """Thousands of connections are not made anew for calls that take their time anyhow."""

    async def story() -> None:
        both = Both()
        both.in_flight = in_flight
        both.calls(20_000, 5_000)
        await both.turn()
        assert both.made == made

    asyncio.run(story())


@pytest.mark.parametrize(("size", "made"), [(1_000, 1), (20_000, 0)])
def test_large_answers_stay(size: int, made: int) -> None:
    """They would cost more on their way than a worker saves; and each is told to whoever waits for it."""

    async def story() -> None:
        both = Both()
        both.here.answer = Response(b"x" * size, "m", Usage())
        both.calls(20_000, 5_000)
        await both.turn()
        assert (both.made, both.ended) == (made, 20_000)

    asyncio.run(story())


def test_calls_move_when_the_workers_are_ready_and_not_before() -> None:
    """Each is given up where it is made."""

    async def story() -> None:
        both = Both()
        early = both.calls(30_000, 10_000)
        await both.turn()
        assert (len(both.here.started), both.there.started) == (30_000, [])
        both.there.may_open.set()
        await both.turn()
        late = both.calls(5, 1)
        assert both.there.started == late
        both.executor.give_up(early[0])
        both.executor.give_up(late[0])
        assert (both.here.given_up, both.there.given_up) == ([early[0]], [late[0]])
        await both.executor.aclose()
        assert (both.here.closed, both.there.closed, both.made) == (True, True, 1)

    asyncio.run(story())


def test_workers_that_cannot_be_started_are_done_without() -> None:
    """The calls go on here, and a person is told."""

    async def story() -> None:
        both = Both()
        both.calls(30_000, 10_000)
        await both.turn()
        both.tell(TROUBLE)
        both.there.may_open.set()
        await both.turn()
        both.calls(30_000, 10_000)
        assert both.there.started == []
        assert both.said == ["A worker process cannot be started. The calls go on in this process."]
        assert (both.troubles, both.made) == ([], 1)

    asyncio.run(story())


def test_trouble_with_workers_at_work_is_the_run_s() -> None:
    """Their calls cannot go on here."""

    async def story() -> None:
        both = Both()
        both.calls(30_000, 10_000)
        await both.turn()
        both.there.may_open.set()
        await both.turn()
        both.tell(TROUBLE)
        assert (both.troubles, both.said) == ([TROUBLE], [])

    asyncio.run(story())


def test_closed_while_workers_are_being_started_nothing_is_left() -> None:
    """Whoever was made is closed."""

    async def story() -> None:
        both = Both()
        both.calls(30_000, 10_000)
        await both.turn()
        await both.executor.aclose()
        assert (both.here.closed, both.there.closed) == (True, True)

    asyncio.run(story())
