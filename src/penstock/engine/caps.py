"""The run's own limits as they are now: those of its options, or what was set since. Every scope is made with them."""

import math
import sys

import msgspec

from penstock.endpoints import Endpoint
from penstock.policy.flow import Flow
from penstock.policy.rate import Limits


class Caps(msgspec.Struct):
    """So many calls exactly, or (None) what is found to be good, up to `ceiling`; and a rate."""

    concurrency: int | None = None
    ceiling: int = 5000
    limits: Limits = Limits()
    patience_s: float = math.inf
    """A provider that asks for a longer wait than this pauses the run."""

    @property
    def most(self) -> int:
        """Calls of the whole run that may be in flight."""
        return self.ceiling if self.concurrency is None else self.concurrency

    def limits_at(self, endpoint: Endpoint) -> Limits:
        """What a scope of an endpoint is known to take, and need not find out: its own limits, or else the run's."""
        return Limits(endpoint.rpm or self.limits.rpm, endpoint.tpm or self.limits.tpm)

    def concurrency_at(self, endpoint: Endpoint) -> int | None:
        """Calls to keep in flight at a scope of an endpoint; None to find them."""
        return None if self.concurrency is None else min(self.concurrency, _most_at(endpoint))

    def ceiling_at(self, endpoint: Endpoint) -> int:
        """As far as a scope of an endpoint may go where it finds how many."""
        return min(self.ceiling, _most_at(endpoint))

    def make_flow(self, endpoint: Endpoint) -> Flow:
        """The flow control of a new scope."""
        return Flow(self.limits_at(endpoint), self.concurrency_at(endpoint), self.ceiling_at(endpoint))


def _most_at(endpoint: Endpoint) -> int:
    return endpoint.max_concurrency or sys.maxsize
