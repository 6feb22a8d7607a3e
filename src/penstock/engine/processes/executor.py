"""Calls made in other processes, which are started, filled with calls, and replaced when they die.

This process keeps source, gate and journal, and says what is sent; workers send it, read the answers and judge them.
"""

import asyncio
import math
from collections.abc import Callable

import msgspec

from penstock.clock import Timer
from penstock.engine.flight import End, Flight
from penstock.engine.processes.lanes import LaneNumbers
from penstock.engine.processes.process import WorkerProcess
from penstock.engine.processes.seat import MOST_FILLS, START_S, Seat, Terms
from penstock.engine.scope import Lane
from penstock.errors import RunPaused
from penstock.models import Failure, Fault
from penstock.transport.settings import TransportSettings

HINT = "See whether the machine has memory and processes to spare, and go on, perhaps with fewer --processes."
LAST_CHANCE_S = 1.0
"""Between the moment a worker is overdue and its end: what it said while this process was held up is read first."""


class Hooks(msgspec.Struct, frozen=True):
    """Who hears of an exception that should not have been, of what a person should know, and of what ends the run."""

    on_defect: Callable[[BaseException], None]
    on_warning: Callable[[str], None]
    on_trouble: Callable[[RunPaused], None]


class ProcessExecutor:
    """`count` workers. `settings_of` says how to call by a lane.

    A call goes to the worker that has the fewest. When a worker dies, its calls that may have been sent end as lost,
    and another takes its seat. A worker is killed when nothing comes from it past the deadline of its oldest call, or
    before it is ready: one timer, set for the first such moment, sees to all of them. One that dies again and again,
    or cannot be started, pauses the run.
    """

    def __init__(
        self, count: int, settings_of: Callable[[Lane], TransportSettings], hooks: Hooks, terms: Terms
    ) -> None:
        self._hooks = hooks
        lanes = LaneNumbers(settings_of)
        self._opened = asyncio.Event()
        self._seats = [Seat(lanes, self._replace, hooks.on_defect, terms, self._opened) for _ in range(count)]
        self._clock = terms.clock
        self._timer: Timer | None = None
        self._look_s = math.inf
        self._started = 0
        self._replacing: set[asyncio.Task[None]] = set()
        self._is_closed = False
        for seat in self._seats:
            self._fill(seat)

    @property
    def pids(self) -> list[int]:
        """The processes that there are now."""
        return [seat.process.pid for seat in self._seats if seat.process is not None]

    async def open(self) -> None:
        """Return once a worker is ready, or one has been given up on: others that are held up hold nobody up."""
        await self._opened.wait()

    def start(self, flight: Flight, end: End) -> None:
        """Give the call to a worker."""
        seat = min(self._seats, key=_rank)
        self._started += 1
        flight.handle = seat, self._started
        seat.start(self._started, flight, end)
        self._look_at(self._clock.monotonic_s() + seat.patience_s(flight))

    def give_up(self, flight: Flight) -> None:
        """End the call with the next turn of the loop."""
        seat, number = flight.handle
        seat.give_up(number)

    async def aclose(self) -> None:
        """End every worker, and return when none is left."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        processes = [seat.process for seat in self._seats if seat.process is not None]
        for seat in self._seats:
            seat.process = None
        for process in processes:
            process.kill()
        for process in processes:
            await process.reap()
            if process.last_line:
                self._hooks.on_warning(f"A worker process said: {process.last_line}")
        await asyncio.gather(*self._replacing)

    # Silence

    def _look_at(self, due_s: float) -> None:
        """Look then, unless it is looked before."""
        if due_s >= self._look_s or self._is_closed:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._look_s = due_s
        self._timer = self._clock.call_later(max(0.0, due_s - self._clock.monotonic_s()), self._look)

    def _look(self) -> None:
        now_s = self._clock.monotonic_s()
        if self._overdue(now_s):
            self._timer = self._clock.call_later(LAST_CHANCE_S, lambda: self._end_silent(now_s))
        else:
            self._look_again()

    def _end_silent(self, looked_s: float) -> None:
        for seat in self._overdue(looked_s):
            seat.end_silent()
        self._look_again()

    def _look_again(self) -> None:
        self._timer, self._look_s = None, math.inf
        self._look_at(min((due_s for seat in self._seats if (due_s := seat.due_s) is not None), default=math.inf))

    def _overdue(self, now_s: float) -> list[Seat]:
        return [seat for seat in self._seats if (due_s := seat.due_s) is not None and due_s <= now_s]

    # Death

    def _replace(self, seat: Seat, process: WorkerProcess, lost: int) -> None:
        task = asyncio.create_task(self._refill(seat, process, lost))
        self._replacing.add(task)
        task.add_done_callback(self._replacing.discard)

    async def _refill(self, seat: Seat, process: WorkerProcess, lost: int) -> None:
        how = await process.reap()
        if self._is_closed:
            return
        if lost:
            calls = "1 call that was" if lost == 1 else f"{lost} calls that were"
            how = f"{how}. {calls} in flight may have been billed, and will be made again"
        seat.vain += not seat.was_ready
        if not seat.was_ready and (process.ended_by_itself or seat.vain > 1):
            self._give_up_on(seat, f"A worker process never became ready: it {how}.")
            return
        if seat.is_filled_too_often:
            self._give_up_on(seat, f"A worker process died, the {MOST_FILLS}th within a minute: it {how}.")
            return
        self._hooks.on_warning(f"A worker process {how}.")
        self._fill(seat)

    def _fill(self, seat: Seat) -> None:
        try:
            seat.fill()
        except OSError as error:
            self._give_up_on(seat, f"A worker process cannot be started: {error.strerror}.")
            return
        self._look_at(self._clock.monotonic_s() + START_S)

    def _give_up_on(self, seat: Seat, message: str) -> None:
        self._hooks.on_trouble(RunPaused(message, HINT))
        seat.shut(Failure(Fault.LOCAL, message, code="no_worker"))


def _rank(seat: Seat) -> tuple[bool, int]:
    return seat.is_shut, seat.in_flight
