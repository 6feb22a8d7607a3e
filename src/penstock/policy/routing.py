"""Which scope of a pool takes the next call.

The tier comes first. Within it two candidates are drawn by weight, and the one with less to do gets the call (power of
two choices: Mitzenmacher 2001), so that a slow scope gets little without a herd running to the fastest.
"""

from collections.abc import Callable, Sequence

import msgspec

EXPLORED_SHARE = 0.03
"""Of all calls, so many go to any candidate: a scope that was slow once is not left for ever."""
LEAST_WEIGHT = 1e-9


class Candidate(msgspec.Struct, frozen=True, gc=False):
    """A scope that could take a call. `latency_s` None: nothing has been answered yet.

    `tried` says that it failed this task before, `ready` that it may send now, by its limits and its breaker.
    """

    tier: int
    weight: float
    latency_s: float | None
    in_flight: int
    healthy: bool
    tried: bool
    ready: bool


def choose(candidates: Sequence[Candidate], draw: Callable[[], float]) -> int | None:
    """The place of the one that takes the call; None when those that should take it are not ready.

    The first that there are of: healthy ones not yet tried, healthy ones, those not yet tried, all; and of these the
    lowest tier. A tier is not left only because it has to wait, but for want of a healthy one. Where nobody is
    healthy, whoever may send at all is taken. `draw` gives random numbers in [0, 1).
    """
    any_healthy = any(candidate.healthy for candidate in candidates)
    lowest: tuple[bool, int] | None = None
    ready: list[int] = []
    for place, candidate in enumerate(candidates):
        if not (candidate.healthy if any_healthy else candidate.ready):
            continue
        rank = (candidate.tried, candidate.tier)
        if lowest is None or rank < lowest:
            lowest, ready = rank, []
        if rank == lowest and candidate.ready:
            ready.append(place)
    return _less_busy(candidates, ready, draw) if len(ready) > 1 else next(iter(ready), None)


def _less_busy(candidates: Sequence[Candidate], ready: list[int], draw: Callable[[], float]) -> int:
    if draw() < EXPLORED_SHARE:
        return ready[int(draw() * len(ready))]
    first, second = ready if len(ready) == 2 else _drawn_pair(candidates, ready, draw)
    known = [latency_s for place in ready if (latency_s := candidates[place].latency_s) is not None]
    best_known_s = min(known, default=1.0)
    return first if _load(candidates[first], best_known_s) <= _load(candidates[second], best_known_s) else second


def _drawn_pair(candidates: Sequence[Candidate], ready: list[int], draw: Callable[[], float]) -> tuple[int, int]:
    """Two different ones, each as likely as its weight."""
    weights = [_weight(candidates[place]) for place in ready]
    first = _drawn(weights, draw())
    weights[first] = 0.0
    return ready[first], ready[_drawn(weights, draw())]


def _drawn(weights: list[float], draw: float) -> int:
    left = draw * sum(weights)
    last = 0
    for place, weight in enumerate(weights):
        if weight:
            last = place
            left -= weight
            if left < 0:
                break
    return last


def _load(candidate: Candidate, best_known_s: float) -> tuple[float, bool]:
    """How busy it is for its weight; an unknown one counts as the fastest, and goes first among equals."""
    latency_s = best_known_s if candidate.latency_s is None else candidate.latency_s
    return latency_s * (candidate.in_flight + 1) / _weight(candidate), candidate.latency_s is not None


def _weight(candidate: Candidate) -> float:
    return max(candidate.weight, LEAST_WEIGHT)


class LatencyAverage:
    """The mean latency of late: each call moves it by a twentieth, and no call counts for more than five times it.

    Answers differ by tens of times in length, so a single long one must not mark a scope as slow.
    """

    ALPHA = 0.05
    MOST_TIMES = 5.0
    LEAST_S = 0.001

    def __init__(self) -> None:
        self.mean_s: float | None = None
        self._noted = 0

    def note(self, latency_s: float) -> None:
        """A call was answered after so long."""
        if self.mean_s is None:
            self.mean_s = latency_s
        self._noted += 1
        alpha = max(self.ALPHA, 1 / self._noted)
        most_s = self.MOST_TIMES * max(self.mean_s, self.LEAST_S)
        self.mean_s += alpha * (min(latency_s, most_s) - self.mean_s)
