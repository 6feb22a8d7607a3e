"""Admission: whether the next call may leave now, and by which lane.

The gate keeps two promises so far: never more calls in flight than the concurrency, and none before a Retry-After that
was asked of anybody has ended.
"""

import msgspec

from penstock.endpoints import Endpoint
from penstock.redaction import Secret
from penstock.transport.protocol import Transport


class Lane(msgspec.Struct, frozen=True):
    """One way to send a call: an endpoint and the connections to it."""

    endpoint: Endpoint
    transport: Transport

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """The credentials that a call by this lane carries."""
        return (self.endpoint.api_key,) if self.endpoint.api_key is not None else ()


class Wait(msgspec.Struct, frozen=True):
    """Not now. `until_s` is when to ask again, on the monotonic clock; None: when a call has landed."""

    until_s: float | None


class GateSnapshot(msgspec.Struct, frozen=True):
    """The gate at one moment; `binds` says in words what holds calls back."""

    in_flight: int
    limit: int
    binds: str


class Gate:
    """One lane, a fixed number of calls in flight, and a shared pause."""

    def __init__(self, lane: Lane, concurrency: int) -> None:
        self._lane = lane
        self._limit = concurrency
        self._in_flight = 0
        self._closed_until_s = 0.0
        self._when_full = Wait(None)

    def admit(self, now_s: float) -> Lane | Wait:
        """Take a place for one call, or say how long there is none. Each lane taken is given back by `release`."""
        if now_s < self._closed_until_s:
            return Wait(self._closed_until_s)
        if self._in_flight >= self._limit:
            return self._when_full
        self._in_flight += 1
        return self._lane

    def release(self, lane: Lane) -> None:
        """Give back the place of a call that has landed."""
        self._in_flight -= 1

    def close_until(self, until_s: float) -> None:
        """Let nobody leave before `until_s`: a provider asked to wait."""
        self._closed_until_s = max(self._closed_until_s, until_s)

    def snapshot(self, now_s: float) -> GateSnapshot:
        """The state for observers."""
        if now_s < self._closed_until_s:
            binds = f"waiting {self._closed_until_s - now_s:.0f} s, as the provider asked"
        elif self._in_flight >= self._limit:
            binds = f"concurrency {self._limit}"
        else:
            binds = "nothing"
        return GateSnapshot(self._in_flight, self._limit, binds)
