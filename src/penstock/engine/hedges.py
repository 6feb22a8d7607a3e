"""Second copies of the slowest calls, where the user wants them: which call is old enough, and when to look again."""

from collections import deque

from penstock.engine.flight import Flight
from penstock.policy.hedging import Hedging


class Hedges:
    """Calls in the order in which they were sent. The oldest are looked at; nothing is timed one by one."""

    def __init__(self, hedging: Hedging) -> None:
        self._hedging = hedging
        self._flights: deque[Flight] = deque()
        self._is_allowed = False

    def started(self, flight: Flight) -> None:
        """A first copy was sent."""
        self._flights.append(flight)

    def answered(self, latency_s: float) -> None:
        """Learn how long answers take."""
        self._hedging.answered(latency_s)

    def due(self, now_s: float) -> Flight | None:
        """The oldest call, if a second copy of it may be sent now. It stays the oldest until one was: see `sent`."""
        after_s = self._hedging.after_s(now_s)
        while self._flights:
            flight = self._flights[0]
            if not flight.ended:
                if after_s is None or flight.place.started_s + after_s > now_s:
                    return None
                self._is_allowed = self._is_allowed or self._hedging.allow(now_s)
                if self._is_allowed:
                    return flight
            self._flights.popleft()
        return None

    def sent(self) -> None:
        """The second copy of the oldest call was sent."""
        self._flights.popleft()
        self._is_allowed = False

    def next_s(self, now_s: float) -> float | None:
        """When the oldest call will be old enough; None where it is, and waits for a place."""
        after_s = self._hedging.after_s(now_s)
        if after_s is None or not self._flights:
            return None
        due_s = self._flights[0].place.started_s + after_s
        return due_s if due_s > now_s else None
