"""Lanes by number: a worker is told of a lane once, when a call first goes by it."""

from collections.abc import Callable

from penstock.engine.processes.messages import OpenLane
from penstock.engine.scope import Lane
from penstock.transport.settings import TransportSettings


class LaneNumbers:
    """Numbers of a run's lanes. Keys that are read again make new lanes. `settings_of` says how to call by one."""

    def __init__(self, settings_of: Callable[[Lane], TransportSettings]) -> None:
        self._settings_of = settings_of
        self._lanes: list[Lane] = []  # held, so that no other lane gets the identity of one
        self._numbers: dict[int, int] = {}

    def number_of(self, lane: Lane) -> int:
        """The number of a lane, given when it is first asked for."""
        number = self._numbers.get(id(lane))
        if number is None:
            number = self._numbers[id(lane)] = len(self._lanes)
            self._lanes.append(lane)
        return number

    def opening(self, number: int) -> OpenLane:
        """What a worker has to know of a lane."""
        lane = self._lanes[number]
        return OpenLane(number, lane.model, self._settings_of(lane))
