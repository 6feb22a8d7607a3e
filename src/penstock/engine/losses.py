"""Calls of which nothing will be known, of tasks that stay pending: they may be billed, and are counted as unknown."""

import asyncio
from collections.abc import Callable

from penstock.engine.scope import Place

Record = Callable[[int, float, Callable[[], None]], None]
"""Writes so many calls, and what they may cost, durably; then it calls back."""


class Losses:
    """Calls given up, which are counted when the run ends, and calls lost with a process, which are recorded at once.

    A lost call keeps its place until it is recorded, so that what a crash would cost stays within the places.
    """

    def __init__(self, on_recorded: Callable[[list[Place]], None]) -> None:
        self._on_recorded = on_recorded
        self._places: list[Place] = []
        self._amount = 0.0
        self.record: Record = lambda calls, amount, done: None
        self.calls = 0
        """Calls that were given up."""
        self.amount = 0.0
        """What those may have cost."""

    def give_up(self, calls: int, amount: float) -> None:
        """Calls of a task were given up."""
        self.calls += calls
        self.amount += amount

    def lose(self, place: Place, amount: float) -> None:
        """A call was lost. All that are lost within a turn of the loop are recorded together."""
        if not self._places:
            asyncio.get_running_loop().call_soon(self._record)
        place.kept = True
        self._places.append(place)
        self._amount += amount

    def _record(self) -> None:
        places, amount = self._places, self._amount
        self._places, self._amount = [], 0.0
        self.record(len(places), amount, lambda: self._on_recorded(places))
