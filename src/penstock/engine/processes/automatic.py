"""Calls made in this process while few are sent each second, and by workers once there are many.

Python runs one thread at a time, and where thousands of calls end each second the engine and the HTTP client's thread
stand in each other's way. A worker for the client takes a quarter of the work away, and lets half as much again
through; it also takes 50 MB and a quarter of a second to begin, which few calls are not worth.
"""

import asyncio
from collections.abc import Callable

from penstock.clock import Clock
from penstock.engine.flight import End, Executor, Flight
from penstock.errors import RunPaused
from penstock.models import Outcome, Response
from penstock.policy.announced import Announced

MANY_PER_S = 1_000
TIMES_IN_FLIGHT = 5
"""So many times more calls a second than are in flight: only short calls are held up by this process. Long ones have
thousands of connections, which would be made anew."""
LARGE_BYTES = 8_000
"""Bodies of more than this on average stay: to send them through a pipe costs more than a worker saves."""
WINDOW_S = 1.0
LOOK_EVERY = 256
"""Calls between two looks at the clock."""
MOST_WORKERS = 2
"""More have nothing to do: this process gives out what two can send."""


def workers_for(cores: int) -> int:
    """How many workers so many processor cores are good for, beside this process and whatever else there is."""
    return min(MOST_WORKERS, cores // 2)


class AutomaticExecutor:
    """`here` makes the calls until `make_there` is called, once, and what it has made is ready.

    `make_there` is given whom to tell of trouble that ends the run. Workers that cannot be started are done without:
    `on_warning` says so, and the calls go on here. `in_flight` says how many calls there are.
    """

    def __init__(
        self,
        here: Executor,
        make_there: Callable[[Callable[[RunPaused], None]], Executor],
        clock: Clock,
        in_flight: Callable[[], int],
        on_warning: Callable[[str], None],
        on_trouble: Callable[[RunPaused], None],
    ) -> None:
        self._here = here
        self._make_there = make_there
        self._clock = clock
        self._in_flight = in_flight
        self._on_warning = on_warning
        self._on_trouble = on_trouble
        self._there: Executor | None = None
        self._opening: asyncio.Task[None] | None = None
        self._ready: Executor | None = None
        self._failed = False
        self._starts = 0
        self._bytes = 0
        self._end: End | None = None
        self._since_s = clock.monotonic_s()

    async def open(self) -> None:
        """Calls can be made here at once."""
        await self._here.open()

    def start(self, flight: Flight, end: End) -> None:
        """Make the call there if that is ready, or else here."""
        executor = self._ready
        if executor is None:
            executor = self._here
            self._starts += 1
            self._bytes += len(flight.work.request.body)
            if self._starts % LOOK_EVERY == 0 and self._opening is None:
                self._look()
            self._end, end = end, self._count
        flight.executor = executor
        executor.start(flight, end)

    def give_up(self, flight: Flight) -> None:
        """Let go of the call where it is made."""
        assert flight.executor is not None, "a flight that was started"
        flight.executor.give_up(flight)

    async def aclose(self) -> None:
        """Let go of both."""
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        if self._there is not None:
            await self._there.aclose()
        await self._here.aclose()

    def _count(self, flight: Flight, outcome: Outcome | None, announced: Announced | None) -> None:
        """A call that was made here has ended."""
        if isinstance(outcome, Response):
            self._bytes += len(outcome.body)
        assert self._end is not None, "a flight that was started"
        self._end(flight, outcome, announced)

    def _look(self) -> None:
        elapsed_s = self._clock.monotonic_s() - self._since_s
        if elapsed_s < WINDOW_S:
            return
        many = self._starts > max(MANY_PER_S, TIMES_IN_FLIGHT * self._in_flight()) * elapsed_s
        if many and self._bytes < LARGE_BYTES * self._starts:
            self._opening = asyncio.create_task(self._open())
        self._starts = self._bytes = 0
        self._since_s = self._clock.monotonic_s()

    async def _open(self) -> None:
        there = self._there = self._make_there(self._take_trouble)
        await there.open()
        if not self._failed:
            self._ready = there

    def _take_trouble(self, trouble: RunPaused) -> None:
        if self._ready is not None:
            self._on_trouble(trouble)
            return
        self._failed = True
        self._on_warning(f"{trouble.message} The calls go on in this process.")
