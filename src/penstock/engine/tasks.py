"""Calls made in this process, each in an asyncio task of its own: the only tasks there are per request."""

import asyncio
from collections.abc import Callable

from penstock.engine.caller import call
from penstock.engine.flight import End, Flight


class TaskExecutor:
    """`on_defect` hears of an exception that should not have been; its call has come to nothing."""

    def __init__(self, on_defect: Callable[[BaseException], None]) -> None:
        self._on_defect = on_defect
        self._loop = asyncio.get_running_loop()

    async def open(self) -> None:
        """They can be made."""

    def start(self, flight: Flight, end: End) -> None:
        """Make the call in a task, which `flight.handle` holds."""
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
