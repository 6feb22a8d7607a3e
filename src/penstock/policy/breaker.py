"""The breaker of a scope: whether a provider that fails is to be left alone for a while.

It answers for faults of the provider (5xx, resets, time-outs), never for its limits. The limits that were found stay as
they are: only the pace comes back in steps, or an outage of two minutes would cost ten more.
"""

from collections import deque
from typing import Literal

import msgspec

from penstock.policy.changes import Changes

FEW, MANY = 20, 200
"""Calls that are judged together: the last few, and besides all of the last seconds up to many. Where a fifth fails at
hundreds a second, ten of some twenty soon fail by chance, and nearly all of the flow would be lost."""
LOOK_BACK_S = 10.0
ENOUGH, ENOUGH_OVER_S = 10, 1.0
"""So many calls are enough to judge where they took that long to land; in a burst it takes the few of above."""
ENOUGH_OF_FAILED = 5
"""Enough where nothing else was heard, and all of them failed."""
FAILED_SHARE = 0.5
FIRST_HOLD_S, LONGEST_HOLD_S = 5.0, 60.0
JITTER = 0.2
PROBES = 3
RAMP_S = 20.0
FIRST_SHARE = 0.25

State = Literal["closed", "open", "half-open"]


class BreakerSnapshot(msgspec.Struct, frozen=True):
    """A breaker at one moment; `until_s` is when an open one lets a probe through, on the monotonic clock."""

    state: State
    until_s: float | None = None


class Breaker:
    """Opens when half of the last calls failed, then lets a few probes through, and ramps up after the first success.

    What calls come to that were sent before it opened tells nothing new.
    """

    def __init__(self, changes: Changes | None = None) -> None:
        self._changes = Changes() if changes is None else changes
        self._landed: deque[tuple[float, bool]] = deque()
        self._failures = 0
        self._state: State = "closed"
        self._until_s = float("-inf")
        self._closed_s = float("-inf")
        self._hold_s = 0.0
        self._probes = 0

    def wait_s(self, now_s: float) -> float | None:
        """0 when a call may go, or the seconds until one may; None: when a probe has landed."""
        if self._state == "closed":
            return 0.0
        if self._state == "open":
            return max(0.0, self._until_s - now_s)
        return 0.0 if self._probes < PROBES else None

    def is_open(self, now_s: float) -> bool:
        """Whether it takes no call now, so that others should be asked."""
        return self._state != "closed" and self.wait_s(now_s) != 0.0

    def share(self, now_s: float) -> float:
        """The share of its pace that a scope may go at: all of it, or less for a while after the breaker closed."""
        elapsed_s = now_s - self._closed_s
        if elapsed_s >= RAMP_S:
            return 1.0
        return FIRST_SHARE + (1 - FIRST_SHARE) * max(0.0, elapsed_s / RAMP_S)

    def start(self, now_s: float) -> None:
        """A call is sent."""
        if self._state == "open" and now_s >= self._until_s:
            self._state, self._probes = "half-open", 0
        if self._state == "half-open":
            self._probes += 1

    def land(self, now_s: float, failed: bool | None, draw: float, sent_s: float | None = None) -> None:
        """A call that was sent at `sent_s` (None: since the last change) has ended; `draw` is random in [0, 1).

        `failed` None tells nothing: it was throttled, or cancelled, or never reached the provider.
        """
        if self._state == "open" or (sent_s is not None and sent_s < self._until_s):
            return
        if self._state == "half-open":
            self._land_probe(now_s, failed, draw)
        elif failed is not None:
            self._count(now_s, failed)
            if failed and self._must_open(now_s):
                self._open(now_s, draw, f"{self._failures} of the last {len(self._landed)} calls failed")

    def snapshot(self, now_s: float) -> BreakerSnapshot:
        """Its state, as it will show to the next call."""
        if self._state == "open":
            return BreakerSnapshot("open", self._until_s) if now_s < self._until_s else BreakerSnapshot("half-open")
        return BreakerSnapshot(self._state)

    def _land_probe(self, now_s: float, failed: bool | None, draw: float) -> None:
        self._probes = max(0, self._probes - 1)
        if failed:
            self._open(now_s, draw, "a probe failed too")
        elif failed is not None:
            self._close(now_s)

    def _count(self, now_s: float, failed: bool) -> None:
        landed = self._landed
        landed.append((now_s, failed))
        self._failures += failed
        while (seen := len(landed)) > FEW and (seen > MANY or landed[0][0] < now_s - LOOK_BACK_S):
            self._failures -= landed.popleft()[1]

    def _must_open(self, now_s: float) -> bool:
        seen = len(self._landed)
        if self._failures == seen >= ENOUGH_OF_FAILED:
            return True
        enough = seen >= FEW or (seen >= ENOUGH and now_s - self._landed[0][0] >= ENOUGH_OVER_S)
        return enough and self._failures >= FAILED_SHARE * seen

    def _open(self, now_s: float, draw: float, why: str) -> None:
        """For twice as long as the last time, if it had not been closed for long."""
        again = self._state == "half-open" or self.share(now_s) < 1
        self._hold_s = min(LONGEST_HOLD_S, 2 * self._hold_s) if again else FIRST_HOLD_S
        pause_s = self._hold_s * (1 - JITTER + 2 * JITTER * draw)
        old = self.share(now_s) if self._state == "closed" else 0.0
        self._state, self._until_s = "open", now_s + pause_s
        self._changes.note(now_s, "share of the pace", old, 0.0, f"{why}: no calls for {pause_s:.0f} s")

    def _close(self, now_s: float) -> None:
        self._state, self._closed_s = "closed", now_s
        self._landed.clear()
        self._failures = 0
        self._changes.note(now_s, "share of the pace", 0.0, FIRST_SHARE, f"a probe was answered: all in {RAMP_S:.0f} s")
