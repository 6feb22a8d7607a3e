"""When a call is so late that a second copy is worth its price (Dean and Barroso, "The Tail at Scale").

A copy goes after the 99th percentile of the latencies, for which about one call in a hundred is late enough; at most
3 % are sent twice, whatever happens. The copy that is dropped is not aborted at the server and counts as paid.
"""

import math
from collections import deque

import msgspec

SHARE = 0.03
"""Most of the calls of two minutes that are sent twice: a provider that is slow as a whole is not loaded further."""
QUANTILE = 0.99
MIN_SAMPLES = 100
"""Fewer answers say nothing about the slowest in a hundred."""
SHORTEST_S = 1.0
"""No copy goes sooner, for it would save too little to pay twice."""
WINDOW_S = 120.0
SLICE_S = 10.0
KEPT_SAMPLES = 2_000.0
"""What all answers before the present slice weigh together at most, so that a new pace is soon learned."""

_GROWTH = 1.05
_BINS = 1 + math.ceil(math.log(4 * 3_600 / SHORTEST_S, _GROWTH))


class Latencies:
    """A histogram whose bins grow by 5 %: a percentile read from it is never too short, and at most 5 % too long.

    All up to `SHORTEST_S` is one bin, and all beyond four hours another.
    """

    def __init__(self) -> None:
        self._weights = [0.0] * _BINS
        self._total = 0.0
        self._unread = 0
        self._p99_s: float | None = None

    def add(self, latency_s: float) -> None:
        """One more answer."""
        number = 0 if latency_s <= SHORTEST_S else math.ceil(math.log(latency_s / SHORTEST_S, _GROWTH))
        self._weights[min(number, _BINS - 1)] += 1
        self._total += 1
        self._unread += 1

    def fade(self) -> None:
        """Let what is known weigh less than what comes."""
        if self._total > KEPT_SAMPLES:
            share = KEPT_SAMPLES / self._total
            self._weights = [weight * share for weight in self._weights]
            self._total = KEPT_SAMPLES

    def p99_s(self) -> float | None:
        """The 99th percentile, None while too little is known. Reckoned anew for each hundredth more that is known."""
        if self._total < MIN_SAMPLES:
            return None
        if self._p99_s is None or self._unread * 100 >= self._total:
            self._unread = 0
            self._p99_s = self._reckon_p99_s()
        return self._p99_s

    def _reckon_p99_s(self) -> float:
        number, beyond = _BINS - 1, self._weights[-1]
        while number > 0 and beyond <= (1 - QUANTILE) * self._total:
            number -= 1
            beyond += self._weights[number]
        return float(SHORTEST_S * _GROWTH**number)


class _Slice(msgspec.Struct, gc=False):
    starts_s: float
    calls: int = 0
    copies: int = 0


class Hedging:
    """Learns how long answers take, and says which calls may be sent twice: at most a `share` of them."""

    def __init__(self, share: float = SHARE) -> None:
        self._share = share
        self._latencies = Latencies()
        self._slices = deque([_Slice(-math.inf)])

    def answered(self, latency_s: float) -> None:
        """A call was answered, or dropped after so long because its copy was answered.

        Dropped calls count, since without the slowest the percentile would sink ever further.
        """
        self._latencies.add(latency_s)
        self._slices[-1].calls += 1

    def after_s(self, now_s: float) -> float | None:
        """How long a call must have been in flight before its copy goes; None while that is not known."""
        self._move_to(now_s)
        return self._latencies.p99_s()

    def allow(self, now_s: float) -> bool:
        """Whether one more call may be sent twice; it counts as if it was.

        Slices that lie in the two minutes only in part give their copies and not their calls, so the share is kept.
        """
        self._move_to(now_s)
        calls = sum(part.calls for part in self._slices if part.starts_s > now_s - WINDOW_S)
        copies = sum(part.copies for part in self._slices)
        if copies + 1 > self._share * calls:
            return False
        self._slices[-1].copies += 1
        return True

    def _move_to(self, now_s: float) -> None:
        if now_s - self._slices[-1].starts_s < SLICE_S:
            return
        self._latencies.fade()
        self._slices.append(_Slice(now_s))
        while self._slices[0].starts_s <= now_s - WINDOW_S - SLICE_S:
            self._slices.popleft()
