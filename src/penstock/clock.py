"""Time behind a protocol, so that policies and the engine can be tested under a virtual clock."""

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """Something that will be called."""

    def cancel(self) -> None:
        """It will not."""
        ...


class Clock(Protocol):
    """Two readings, one for intervals and one for timestamps, and an alarm."""

    def monotonic_s(self) -> float:
        """Seconds on a clock that never jumps; only differences mean anything."""
        ...

    def unix_s(self) -> float:
        """Seconds since 1970-01-01 UTC, for timestamps in results; never used for intervals."""
        ...

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """Call back on the event loop once `delay_s` have passed on `monotonic_s`."""
        ...


class SystemClock:
    """The machine's own clocks."""

    monotonic_s = staticmethod(time.monotonic)
    unix_s = staticmethod(time.time)

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """Call back on the running event loop."""
        return asyncio.get_running_loop().call_later(delay_s, callback)


class ManualClock:
    """A clock that stands still until it is moved: the shipped fake."""

    def __init__(self, now_s: float = 1_000.0) -> None:
        self._now_s = now_s
        self._order = itertools.count()
        self._timers: list[tuple[float, int, ManualTimer]] = []

    def monotonic_s(self) -> float:
        """Seconds moved so far, from an arbitrary start."""
        return self._now_s

    def unix_s(self) -> float:
        """The same reading, offset to a fixed day."""
        return 1_700_000_000.0 + self._now_s

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """Call back while the clock is moved past that time."""
        timer = ManualTimer(callback)
        heapq.heappush(self._timers, (self._now_s + delay_s, next(self._order), timer))
        return timer

    def advance(self, seconds: float) -> None:
        """Move both readings forward, through every timer that is due on the way."""
        end_s = self._now_s + seconds
        while self._timers and self._timers[0][0] <= end_s:
            due_s, _, timer = heapq.heappop(self._timers)
            self._now_s = max(self._now_s, due_s)
            timer.fire()
        self._now_s = end_s


class ManualTimer:
    """A timer of `ManualClock`."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self._callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Not to be called any more."""
        self._callback = None

    def fire(self) -> None:
        """It is time."""
        if self._callback is not None:
            self._callback()
