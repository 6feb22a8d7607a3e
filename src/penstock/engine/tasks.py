"""Calls made in this process, each in an asyncio task of its own: the only tasks there are per request."""

import asyncio
import time
from collections.abc import Callable

from penstock.engine.caller import call
from penstock.engine.flight import End, Flight

MANY_FLYING = 1_000
LANDINGS_TO_A_BREATH = 4


class TaskExecutor:
    """`on_defect` hears of an exception that should not have been; its call has come to nothing.

    While many fly, the HTTP client's thread gets its turn after every few landings. It needs Python's lock to announce
    an answer, and sends nothing while it waits for it: thousands of answers that came together would be followed by
    thousands of requests that leave together, a second late, for as long as the run lasts.
    """

    def __init__(self, on_defect: Callable[[BaseException], None]) -> None:
        self._on_defect = on_defect
        self._loop = asyncio.get_running_loop()
        self._flying = 0
        self._landed = 0

    async def open(self) -> None:
        """They can be made."""

    def start(self, flight: Flight, end: End) -> None:
        """Make the call in a task, which `flight.handle` holds."""
        self._flying += 1
        flight.handle = self._loop.create_task(self._call(flight, end))

    def give_up(self, flight: Flight) -> None:
        """Cancel the call. One that has not taken its first step sees that it is given up when it does."""
        if flight.handle is not None and flight.begun:
            flight.handle.cancel()

    async def aclose(self) -> None:
        """Nothing is held open."""

    async def _call(self, flight: Flight, end: End) -> None:
        outcome = announced = None
        try:
            if not flight.given_up:
                flight.begun = True
                place = flight.place
                outcome, announced = await call(
                    place.scope.lane, flight.work.request, flight.timeout_s, looks=flight.looks
                )
        except asyncio.CancelledError:
            if not flight.given_up:
                self._on_defect(RuntimeError("A transport cancelled a call that nobody had given up."))
        except Exception as error:
            self._on_defect(error)
        end(flight, None if flight.given_up else outcome, announced)
        self._flying -= 1
        self._landed += 1
        if self._flying > MANY_FLYING and self._landed % LANDINGS_TO_A_BREATH == 0:
            _breathe()


def _breathe() -> None:
    """Let go of Python's lock, so that another thread which waits for it gets it."""
    time.sleep(0)
