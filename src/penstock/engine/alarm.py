"""When to look again."""

from collections.abc import Callable

from penstock.clock import Clock, Timer


class Alarm:
    """One timer on the monotonic clock, set anew whenever something else is due first."""

    def __init__(self, clock: Clock, ring: Callable[[], None]) -> None:
        self._clock = clock
        self._ring = ring
        self._timer: Timer | None = None
        self._due_s: float | None = None

    def set(self, due_s: float | None) -> None:
        """Ring at `due_s`, or not at all; what was set before does not count any more."""
        if due_s == self._due_s:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._due_s = due_s
        if due_s is not None:
            self._timer = self._clock.call_later(max(0.0, due_s - self._clock.monotonic_s()), self._wake)

    def _wake(self) -> None:
        self._timer = self._due_s = None
        self._ring()


def sooner(one_s: float | None, other_s: float | None) -> float | None:
    """The earlier of two times, where None is never."""
    if one_s is None or other_s is None:
        return other_s if one_s is None else one_s
    return min(one_s, other_s)
