"""The last changes to the limits of a scope, each with its reason."""

from collections import deque

import msgspec

KEPT = 50


class Change(msgspec.Struct, frozen=True):
    """A limit that was changed at `at_s`, on the monotonic clock, and why; None stands for no limit."""

    at_s: float
    what: str
    old: float | None
    new: float | None
    why: str


class Changes:
    """A history of bounded length that several controllers write together."""

    def __init__(self) -> None:
        self._last: deque[Change] = deque(maxlen=KEPT)

    def note(self, now_s: float, what: str, old: float | None, new: float | None, why: str) -> None:
        """Add a change."""
        self._last.append(Change(now_s, what, old, new, why))

    def last(self) -> tuple[Change, ...]:
        """The last changes, the newest at the end."""
        return tuple(self._last)
