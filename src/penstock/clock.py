"""Time behind a protocol, so that policies and the engine can be tested under a virtual clock."""

import time
from typing import Protocol


class Clock(Protocol):
    """Two readings: one for intervals, one for timestamps."""

    def monotonic_s(self) -> float:
        """Seconds on a clock that never jumps; only differences mean anything."""
        ...

    def unix_s(self) -> float:
        """Seconds since 1970-01-01 UTC, for timestamps in results; never used for intervals."""
        ...


class SystemClock:
    """The machine's own clocks."""

    monotonic_s = staticmethod(time.monotonic)
    unix_s = staticmethod(time.time)


class ManualClock:
    """A clock that stands still until it is moved: the shipped fake."""

    def __init__(self, now_s: float = 1_000.0) -> None:
        self._now_s = now_s

    def monotonic_s(self) -> float:
        """Seconds moved so far, from an arbitrary start."""
        return self._now_s

    def unix_s(self) -> float:
        """The same reading, offset to a fixed day."""
        return 1_700_000_000.0 + self._now_s

    def advance(self, seconds: float) -> None:
        """Move both readings forward."""
        self._now_s += seconds
