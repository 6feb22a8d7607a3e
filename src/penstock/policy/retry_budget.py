"""The retry budget of a scope: retries in vain stay a small part of what is sent, or they would make an outage worse.

Over any two minutes at most a fifth of everything else, and a few besides, so that a run of few calls can retry too.
"""

from collections import deque

import msgspec

WINDOW_S = 120
SHARE = 0.2
FLOOR = 10
LEAST_WAIT_S = 1e-6
"""Longer than what rounding can add to a moment."""


class RetryBudgetSnapshot(msgspec.Struct, frozen=True):
    """A budget at one moment: `in_vain` and `in_flight` are retries, `allowed` how many those may be together."""

    allowed: int
    in_vain: int
    in_flight: int


class _Second(msgspec.Struct, gc=False):
    at_s: int
    useful: int = 0
    in_vain: int = 0


class RetryBudget:
    """Counts by the second. A retry counts from when it is sent until it is answered, or until its failure is old.

    An answered retry served a task, so it counts like a first call from then on.
    """

    def __init__(self) -> None:
        self._seconds: deque[_Second] = deque()
        self._useful = 0
        self._in_vain = 0
        self._in_flight = 0

    def wait_s(self, now_s: float) -> float | None:
        """0 when a retry may go, or the seconds until one in vain is forgotten; None: ask when a call has landed.

        A landing may let one go at any time, and calls that are sent, which land as well.
        """
        self._forget(now_s)
        if self._in_vain + self._in_flight < self._allowed():
            return 0.0
        oldest = next((second.at_s for second in self._seconds if second.in_vain), None)
        return None if oldest is None else max(LEAST_WAIT_S, oldest + 1 + WINDOW_S - now_s)

    def start(self, now_s: float, retry: bool) -> None:
        """A call is sent."""
        if retry:
            self._in_flight += 1
            return
        self._useful += 1
        seconds = self._seconds
        if seconds and seconds[-1].at_s + 1 > now_s:  # what is to be forgotten is so when somebody asks
            seconds[-1].useful += 1
        else:
            self._second(now_s).useful += 1

    def land(self, now_s: float, retry: bool, in_vain: bool | None) -> None:
        """A call has ended. `in_vain` None: it never reached the provider, and counts for nothing."""
        if not retry:
            return
        self._in_flight -= 1
        if in_vain:
            self._in_vain += 1
            self._second(now_s).in_vain += 1
        elif in_vain is not None:
            self._useful += 1
            self._second(now_s).useful += 1

    def snapshot(self, now_s: float) -> RetryBudgetSnapshot:
        """What is used of it."""
        self._forget(now_s)
        return RetryBudgetSnapshot(self._allowed(), self._in_vain, self._in_flight)

    def _allowed(self) -> int:
        return FLOOR + int(SHARE * self._useful)

    def _second(self, now_s: float) -> _Second:
        self._forget(now_s)
        if not self._seconds or self._seconds[-1].at_s < int(now_s):
            self._seconds.append(_Second(int(now_s)))
        return self._seconds[-1]

    def _forget(self, now_s: float) -> None:
        """Let go of the seconds that lie wholly before the window."""
        while self._seconds and self._seconds[0].at_s + 1 + WINDOW_S <= now_s:
            gone = self._seconds.popleft()
            self._useful -= gone.useful
            self._in_vain -= gone.in_vain
