"""The breaker of a scope: whether a provider that fails is to be left alone for a while.

It answers for faults of the provider (5xx, resets, time-outs), never for its limits. The limits that were found stay as
they are: only the pace comes back in steps, or an outage of two minutes would cost ten more.
"""

from typing import Literal

import msgspec

from penstock.policy.changes import Changes

FAILURE, ANSWER = 2, 3
"""What one of them weighs (Page, "Continuous Inspection Schemes", 1954): where two in five fail or fewer, answers
outweigh failures again and again, and where nearly all fail the sum grows with each."""
ENOUGH = 40
"""Twenty failures in a row. By chance it comes to that once in millions of calls where two in five fail."""
ENOUGH_AT_FIRST = 10
"""Five failures, where nothing else was ever heard."""
FIRST_HOLD_S, LONGEST_HOLD_S = 5.0, 60.0
JITTER = 0.2
PROBES, DECIDE = 3, 2
"""Calls that try whether the provider is well again, and how many of them that agree decide it."""
RAMP_S = 20.0
FIRST_SHARE = 0.25

State = Literal["closed", "open", "half-open"]


class BreakerSnapshot(msgspec.Struct, frozen=True):
    """A breaker at one moment; `until_s` is when an open one lets a probe through, on the monotonic clock."""

    state: State
    until_s: float | None = None


class Breaker:
    """Opens when failures outweigh answers by enough, then lets a few probes through, and ramps up when most succeed.

    What calls come to that were sent before it opened tells nothing new.
    """

    def __init__(self, changes: Changes | None = None) -> None:
        self._changes = Changes() if changes is None else changes
        self._sent: dict[float, int] = {}
        self._weight = self._failures = self._seen = 0
        self._since_s = float("-inf")
        self._answered_once = False
        self._state: State = "closed"
        self._until_s = float("-inf")
        self._closed_s = float("-inf")
        self._hold_s = 0.0
        self._probes = self._probes_answered = self._probes_failed = 0

    def wait_s(self, now_s: float) -> float | None:
        """0 when a call may go, or the seconds until one may; None: when a probe has landed."""
        if self._state == "closed":
            return 0.0
        if self._state == "open":
            return max(0.0, self._until_s - now_s)
        # Of two that do not agree neither decides, and the third may hang: one more may go.
        more = min(self._probes_answered, self._probes_failed)
        return 0.0 if self._probes < PROBES + more else None

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
        self._sent[now_s] = self._sent.get(now_s, 0) + 1
        if self._state == "open" and now_s >= self._until_s:
            self._state, self._probes = "half-open", 0
            self._probes_answered = self._probes_failed = 0
        if self._state == "half-open":
            self._probes += 1

    def land(self, now_s: float, failed: bool | None, draw: float, sent_s: float) -> None:
        """A call that was sent at `sent_s` has ended; `draw` is random in [0, 1).

        `failed` None tells nothing: it was throttled, or cancelled, or never reached the provider.
        """
        self._forget(sent_s)
        if self._state == "open" or sent_s < self._until_s:
            return
        if self._state == "half-open":
            self._land_probe(now_s, failed, draw)
        elif failed:
            self._count_failure(now_s, draw, sent_s)
        elif failed is not None:
            self._answered_once = True
            self._seen += 1
            self._weight = max(0, self._weight - ANSWER)

    def snapshot(self, now_s: float) -> BreakerSnapshot:
        """Its state, as it will show to the next call."""
        if self._state == "open":
            return BreakerSnapshot("open", self._until_s) if now_s < self._until_s else BreakerSnapshot("half-open")
        return BreakerSnapshot(self._state)

    def _forget(self, sent_s: float) -> None:
        if (left := self._sent.get(sent_s, 0)) > 1:
            self._sent[sent_s] = left - 1
        else:
            self._sent.pop(sent_s, None)

    def _count_failure(self, now_s: float, draw: float, sent_s: float) -> None:
        if self._weight == 0:
            self._since_s, self._failures, self._seen = sent_s, 0, 0
        self._weight += FAILURE
        self._failures += 1
        self._seen += 1
        beyond = self._weight - (ENOUGH if self._answered_once else ENOUGH_AT_FIRST)
        if beyond >= 0 and self._is_borne_out(beyond, sent_s):
            self._open(now_s, draw, f"{self._failures} of {self._seen} calls failed")

    def _is_borne_out(self, beyond: int, sent_s: float) -> bool:
        """Whether it is enough even if all those answer that were sent meanwhile and are still in flight.

        Failures come sooner than answers. What was sent after the call that has failed has had no time to fail.
        """
        for moment_s in reversed(self._sent):
            if moment_s < self._since_s:
                break
            if moment_s <= sent_s:
                beyond -= ANSWER * self._sent[moment_s]
                if beyond < 0:
                    return False
        return True

    def _land_probe(self, now_s: float, failed: bool | None, draw: float) -> None:
        if failed is None:
            self._probes = max(0, self._probes - 1)
            return
        self._probes_failed += failed
        self._probes_answered += not failed
        if self._probes_failed == DECIDE:
            self._open(now_s, draw, "the probes failed too")
        elif self._probes_answered == DECIDE:
            self._close(now_s)

    def _open(self, now_s: float, draw: float, why: str) -> None:
        """For twice as long as the last time, if it had not been closed for long; as long, if a probe was answered."""
        again = self._state == "half-open" or self.share(now_s) < 1
        growth = 1 if self._state == "half-open" and self._probes_answered else 2
        # The longest is what jitter may make of it.
        self._hold_s = min(LONGEST_HOLD_S / (1 + JITTER), growth * self._hold_s) if again else FIRST_HOLD_S
        pause_s = self._hold_s * (1 - JITTER + 2 * JITTER * draw)
        old = self.share(now_s) if self._state == "closed" else 0.0
        self._state, self._until_s = "open", now_s + pause_s
        self._weight = 0
        self._changes.note(now_s, "share of the pace", old, 0.0, f"{why}: no calls for {pause_s:.0f} s")

    def _close(self, now_s: float) -> None:
        self._state, self._closed_s, self._answered_once = "closed", now_s, True
        why = f"probes were answered: all in {RAMP_S:.0f} s"
        self._changes.note(now_s, "share of the pace", 0.0, FIRST_SHARE, why)
