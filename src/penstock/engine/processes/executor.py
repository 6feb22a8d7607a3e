"""Calls made in other processes, which are started, filled with calls, and replaced when they die.

This process keeps source, gate and journal, and says what is sent; workers send it, read the answers and judge them.
"""

import asyncio
from collections.abc import Callable

import msgspec

from penstock.engine.flight import End, Flight
from penstock.engine.processes.lanes import LaneNumbers
from penstock.engine.processes.process import WorkerProcess
from penstock.engine.processes.seat import MOST_FILLS, Seat
from penstock.engine.scope import Lane
from penstock.errors import RunPaused
from penstock.models import Failure, Fault
from penstock.transport.settings import TransportSettings

HINT = "See whether the machine has memory and processes to spare, and go on, perhaps with fewer --processes."


class Hooks(msgspec.Struct, frozen=True):
    """Who hears of an exception that should not have been, of what a person should know, and of what ends the run."""

    on_defect: Callable[[BaseException], None]
    on_warning: Callable[[str], None]
    on_trouble: Callable[[RunPaused], None]


class ProcessExecutor:
    """`count` workers. `settings_of` says how to call by a lane.

    A call goes to the worker that has the fewest. When a worker dies, its calls that may have been sent end as lost,
    and another takes its seat. One that dies again and again, or cannot be started, pauses the run.
    """

    def __init__(self, count: int, settings_of: Callable[[Lane], TransportSettings], hooks: Hooks) -> None:
        self._hooks = hooks
        lanes = LaneNumbers(settings_of)
        self._seats = [Seat(lanes, self._replace, hooks.on_defect) for _ in range(count)]
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
        """Return once every worker is ready, so that calls leave when they are let go, or has been given up on."""
        for seat in self._seats:
            await seat.opened.wait()

    def start(self, flight: Flight, end: End) -> None:
        """Give the call to a worker."""
        seat = min(self._seats, key=_in_flight)
        self._started += 1
        flight.handle = seat, self._started
        seat.start(self._started, flight, end)

    def give_up(self, flight: Flight) -> None:
        """End the call with the next turn of the loop."""
        seat, number = flight.handle
        seat.give_up(number)

    async def aclose(self) -> None:
        """End every worker, and return when none is left."""
        self._is_closed = True
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

    def _give_up_on(self, seat: Seat, message: str) -> None:
        self._hooks.on_trouble(RunPaused(message, HINT))
        seat.shut(Failure(Fault.LOCAL, message, code="no_worker"))


def _in_flight(seat: Seat) -> int:
    return seat.in_flight
