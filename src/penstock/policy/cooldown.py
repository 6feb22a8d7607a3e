"""The pause of a scope that a provider asked for: one for all of its calls."""

import math

from penstock.policy.backoff import RETRY_AFTER_SPREAD
from penstock.policy.landing import Kind, Landing

FIRST_S, LONGEST_S = 1.0, 60.0
"""Where no time is named: anything up to a second, doubling up to a minute while nobody is answered."""
SPREAD = RETRY_AFTER_SPREAD


class Cooldown:
    """Nothing leaves before `until_s`; fresh work not before `fresh_until_s`, when those turned away may be back."""

    __slots__ = ("_before_s", "_doublings", "_since_s", "asked", "fresh_until_s", "until_s")

    def __init__(self) -> None:
        self.until_s = 0.0
        self.fresh_until_s = 0.0
        self.asked = False
        """Whether the provider named the time."""
        self._since_s = self._before_s = -math.inf
        """When the last pause without a time began, and the one before. Who was let in since that one shows that it was
        long enough."""
        self._doublings = 0

    def land(self, now_s: float, landing: Landing, draw: float) -> None:
        """Learn from a call's end; `draw` is random in [0, 1)."""
        kind, asked_s = landing.kind, landing.retry_after_s
        if kind is Kind.ANSWERED:
            if landing.sent_s >= self._before_s:
                self._doublings = 0
        elif asked_s is not None and kind in (Kind.THROTTLED, Kind.OVERLOADED, Kind.BROKEN):
            self._pause(now_s, asked_s * (1 + SPREAD * draw), asked_s * (1 + SPREAD), True)
        elif kind is Kind.THROTTLED and landing.sent_s >= self._since_s:
            window_s = min(LONGEST_S, FIRST_S * 2.0 ** min(self._doublings, 6))
            self._doublings += 1
            self._before_s, self._since_s = self._since_s, now_s
            self._pause(now_s, window_s * draw, window_s * draw, False)

    def hold(self, until_s: float) -> None:
        """The provider asked an earlier process to wait until then."""
        self.until_s = self.fresh_until_s = until_s
        self.asked = True

    def _pause(self, now_s: float, pause_s: float, fresh_s: float, asked: bool) -> None:
        if now_s + pause_s > self.until_s:
            self.until_s, self.asked = now_s + pause_s, asked
        self.fresh_until_s = max(self.fresh_until_s, now_s + fresh_s)
