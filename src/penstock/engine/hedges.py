"""Second copies of the slowest calls, where the user wants them: which call is old enough, and when to look again."""

from asyncio import Task as AsyncioTask
from collections import deque

from penstock.engine.scope import Place
from penstock.engine.work import Work
from penstock.policy.hedging import Hedging


class Hedges:
    """Calls in the order in which they were sent. The oldest are looked at; nothing is timed one by one."""

    def __init__(self, hedging: Hedging) -> None:
        self._hedging = hedging
        self._calls: deque[tuple[AsyncioTask[None], Work, Place]] = deque()
        self._is_allowed = False

    def started(self, call: AsyncioTask[None], work: Work, place: Place) -> None:
        """A first copy was sent."""
        self._calls.append((call, work, place))

    def answered(self, latency_s: float) -> None:
        """Learn how long answers take."""
        self._hedging.answered(latency_s)

    def due(self, now_s: float) -> tuple[Work, Place] | None:
        """The oldest call, if a second copy of it may be sent now. It stays the oldest until one was: see `sent`."""
        after_s = self._hedging.after_s(now_s)
        while self._calls:
            call, work, place = self._calls[0]
            if not call.done():
                if after_s is None or place.started_s + after_s > now_s:
                    return None
                self._is_allowed = self._is_allowed or self._hedging.allow(now_s)
                if self._is_allowed:
                    return work, place
            self._calls.popleft()
        return None

    def sent(self) -> None:
        """The second copy of the oldest call was sent."""
        self._calls.popleft()
        self._is_allowed = False

    def next_s(self, now_s: float) -> float | None:
        """When the oldest call will be old enough; None where it is, and waits for a place."""
        after_s = self._hedging.after_s(now_s)
        if after_s is None or not self._calls:
            return None
        due_s = self._calls[0][2].started_s + after_s
        return due_s if due_s > now_s else None
