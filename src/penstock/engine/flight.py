"""A call under way, as the dispatcher and whoever makes the call see it."""

from collections.abc import Callable
from typing import Any, Protocol

from penstock.engine.scope import Place
from penstock.engine.work import Work
from penstock.models import Outcome
from penstock.policy.announced import Announced


class Flight:
    """One call: whose it is and by which place it goes.

    `timeout_s` is a deadline of its own, None for the usual one; `looks` says whether announced limits are wanted.
    `given_up` is set by the dispatcher, `ended` once it has heard of the end. `begun` and `handle` are the executor's
    own, and `executor` says which one it is where there are two.
    """

    __slots__ = (
        "begun",
        "ended",
        "executor",
        "given_up",
        "handle",
        "looks",
        "place",
        "started_at",
        "timeout_s",
        "work",
    )

    def __init__(self, work: Work, place: Place, started_at: float, timeout_s: float | None, looks: bool) -> None:
        self.work = work
        self.place = place
        self.started_at = started_at
        self.timeout_s = timeout_s
        self.looks = looks
        self.begun = False
        self.given_up = False
        self.ended = False
        self.handle: Any = None
        self.executor: Executor | None = None


End = Callable[[Flight, Outcome | None, Announced | None], None]
"""Told on the event loop, once for each flight: what it came to, and the limits announced.

None for one that was given up, and for one that was lost: nothing will be known of it, and it may be billed.
"""


class Executor(Protocol):
    """Makes calls, in this process or in others. Whatever happens to a call is told by `end`, and never raised."""

    async def open(self) -> None:
        """Return once calls can be made, or never will be."""
        ...

    def start(self, flight: Flight, end: End) -> None:
        """Make the call. `end` is never called from inside."""
        ...

    def give_up(self, flight: Flight) -> None:
        """Let go of a call that is marked as given up: `end` follows soon, whatever it was about to come to."""
        ...

    async def aclose(self) -> None:
        """Let go of everything, once nothing is under way. Safe to call twice."""
        ...
