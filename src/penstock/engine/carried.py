"""What one process of a run hands to the next: waits that a provider asked for, and what was sent in the last minute.

Only the wall clock bridges two processes. A clock that was set back cannot make a wait longer than it was asked for.
"""

import math
from collections.abc import Callable, Iterator
from functools import cached_property
from hashlib import blake2b

import msgspec

from penstock.clock import Clock
from penstock.engine.scope import Lane, Scope
from penstock.journal.journal import Journal
from penstock.journal.recent import Sent
from penstock.policy.carried import MINUTE_S, minute_before
from penstock.policy.flow import Flow
from penstock.policy.rate import Limits, Rate

WAITS = "waits"
"""The name of the waits in the journal."""
SHORTEST_S = 1.0
"""A wait so short is not worth a write: a process takes as long to begin."""


class Wait(msgspec.Struct, frozen=True):
    """A scope that is to be left alone until a unix time; when that was written it was `seconds` away."""

    scope: str
    until: float
    seconds: float


class Carried:
    """Read from the journal before the run works; what is to be kept is written into it while it does."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._clock = clock
        self._keep = journal.keep
        self._journal = journal
        self._opened_s, self._opened_at = clock.monotonic_s(), clock.unix_s()
        self._waits = {wait.scope: wait for wait in msgspec.convert(journal.recall(WAITS) or [], list[Wait])}
        self._until_s = {
            wait.scope: self._opened_s + min(wait.until - self._opened_at, wait.seconds)
            for wait in self._waits.values()
        }
        options = journal.recall("options") or {}
        self._limits = Limits(options.get("rpm"), options.get("tpm"))
        self._in_flight = journal.killed_calls
        self._ended_s = _ended_s(journal, self._opened_at)

    @cached_property
    def _sent(self) -> list[Sent]:
        """Read when a limit first asks for it: where nothing limits a run, its last minute takes a second to read."""
        return self._journal.sent_since(self._opened_at - MINUTE_S, self._opened_at)

    # Waits

    def note(self, scope: Scope, until_s: float) -> None:
        """Nothing goes to a scope until then, on the monotonic clock. Written about once in a second at most."""
        wait_s, now = until_s - self._clock.monotonic_s(), self._clock.unix_s()
        name = _name(scope.lane)
        known = self._waits.get(name)
        if wait_s <= SHORTEST_S or (known is not None and known.until >= now + wait_s):
            return
        until = math.ceil(now + wait_s)
        self._waits = {name: wait for name, wait in self._waits.items() if wait.until > now}
        self._waits[name] = Wait(name, until, until - now)
        self._keep(WAITS, list(self._waits.values()))

    def restore(self, scope: Scope, limits: Limits) -> None:
        """Let a new scope wait as an earlier process was asked to, and count what that one sent through it."""
        if self._until_s:
            scope.flow.hold(self._clock.monotonic_s(), self._until_s.get(_name(scope.lane), 0.0))
        self._count(scope.flow, limits, lambda sent: _is_by(sent, scope.lane))

    def restore_run(self, rate: Rate, limits: Limits) -> None:
        """Count what an earlier process of the run sent."""
        self._count(rate, limits, lambda sent: True)

    # The last minute

    def _count(self, flow: Flow | Rate, limits: Limits, counts: Callable[[Sent], bool]) -> None:
        if self._ended_s >= MINUTE_S or limits == Limits():
            return
        sent = [one for one in self._sent if counts(one)]
        largest = max((one.tokens for one in sent), default=0)
        calls = [(one.ago_s, 1.0) for one in sent]
        tokens = [(one.ago_s, float(one.tokens or largest)) for one in sent]
        flow.carry(
            self._opened_s,
            list(self._minute(limits.rpm, self._limits.rpm, calls, 0.0)),
            list(self._minute(limits.tpm, self._limits.tpm, tokens, largest)),
        )

    def _minute(
        self, limit: float | None, before: float | None, sent: list[tuple[float, float]], largest: float
    ) -> Iterator[tuple[float, float]]:
        if limit is None:
            return
        if before is None or before > limit:  # calls that were in flight may be more than the limit of now allows
            sent = [*sent, (0.0, self._in_flight * (largest or 1.0))]
        yield from minute_before(limit, self._ended_s, sent, largest)


def _ended_s(journal: Journal, now: float) -> float:
    """How long ago the process before ended: just now where it was killed, infinite where there was none."""
    if not journal.totals.accepted:
        return math.inf
    ended: float = (journal.recall("ending") or {}).get("at", now)
    return max(0.0, now - ended)


def _name(lane: Lane) -> str:
    """A key that was replaced is another: its account is asked for nothing yet."""
    secret = lane.key.secret
    mark = "" if secret is None else blake2b(secret.reveal().encode(), digest_size=4).hexdigest()
    return " ".join((lane.endpoint.name, lane.key.label, mark, lane.model))


def _is_by(sent: Sent, lane: Lane) -> bool:
    """Whether a call went by a lane. A model answers by a longer name than it is asked by, if by another."""
    return (
        sent.endpoint == lane.endpoint.name
        and sent.key in ("", lane.key.label)
        and (sent.model.startswith(lane.model) or not lane.model)
    )
