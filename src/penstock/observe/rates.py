"""How fast a run goes now and when it will be done, from snapshots alone."""

from collections import deque

import msgspec

from penstock.events import Snapshot

RATE_WINDOW_S = 10.0
"""Long enough that a rate is calm, short enough that a change shows."""
LEFT_WINDOW_S = 60.0
"""The time left is told from a longer stretch, or it would jump about."""


class Rates(msgspec.Struct, frozen=True):
    """What the last seconds came to. `left_s` is None while nobody can tell."""

    responses_per_s: float
    tokens_per_s: float
    """Input and output together, as providers count them against a limit."""
    left_s: float | None


class _Sample(msgspec.Struct, frozen=True):
    elapsed_s: float = 0.0
    responses: int = 0
    tokens: int = 0
    settled: int = 0


class RateMeter:
    """A sliding window over successive snapshots of one run."""

    def __init__(self) -> None:
        self._samples: deque[_Sample] = deque()

    def update(self, snapshot: Snapshot) -> Rates:
        """Take the next snapshot and say what the rates are now."""
        usage = snapshot.totals.usage
        newest = _Sample(
            elapsed_s=snapshot.elapsed_s,
            responses=snapshot.responses,
            tokens=usage.input_tokens + usage.output_tokens,
            settled=snapshot.totals.settled,
        )
        if not self._samples:
            # What earlier processes used is not this one's speed, so a resumed run is measured from here on.
            self._samples.append(newest if snapshot.before else _Sample())
        recent = self._oldest_within(RATE_WINDOW_S, newest)
        longer = self._oldest_within(LEFT_WINDOW_S, newest)
        while self._samples[0] is not longer:
            self._samples.popleft()
        self._samples.append(newest)
        return Rates(
            responses_per_s=_per_s(newest.responses - recent.responses, newest, recent),
            tokens_per_s=_per_s(newest.tokens - recent.tokens, newest, recent),
            left_s=_left_s(snapshot, _per_s(newest.settled - longer.settled, newest, longer)),
        )

    def _oldest_within(self, window_s: float, newest: _Sample) -> _Sample:
        """The oldest sample in the window; the latest one when all are older."""
        within = (sample for sample in self._samples if newest.elapsed_s - sample.elapsed_s <= window_s)
        return next(within, self._samples[-1])


def _per_s(difference: int, newest: _Sample, earlier: _Sample) -> float:
    seconds = newest.elapsed_s - earlier.elapsed_s
    # Settling a task anew can lower a sum; a speed is never below nought.
    return max(difference, 0) / seconds if seconds > 0 else 0.0


def _left_s(snapshot: Snapshot, settled_per_s: float) -> float | None:
    if snapshot.total is None:
        return None
    left = max(snapshot.total - snapshot.totals.settled, 0)
    if left == 0:
        return 0.0
    return left / settled_per_s if settled_per_s else None
