"""Which scope of a pool takes the next call.

The tier comes first. Within it two candidates are drawn by weight, and the one with less to do gets the call (power of
two choices: Mitzenmacher 2001), so that a slow scope gets little without a herd running to the fastest.
"""

from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

EXPLORED_SHARE = 0.03
"""Of all calls, so many go to any candidate: a scope that was slow once is not left for ever."""
LEAST_WEIGHT = 1e-9


class Candidate(Protocol):
    """A scope that could take a call. A lower tier is asked first."""

    @property
    def tier(self) -> int:
        """Its rank."""
        ...

    @property
    def weight(self) -> float:
        """How much it is to bear beside others."""
        ...

    @property
    def latency_s(self) -> float | None:
        """How long its answers take; None: nothing has been answered yet."""
        ...

    @property
    def in_flight(self) -> int:
        """Calls under way."""
        ...


C = TypeVar("C", bound=Candidate)
Asked = TypeVar("Asked", contravariant=True)


class Question(Protocol[Asked]):
    """What is looked at only where it matters."""

    def is_well(self, candidate: Asked, /) -> bool:
        """Whether it is healthy."""
        ...

    def was_tried(self, candidate: Asked, /) -> bool:
        """Whether it failed this task before."""
        ...

    def is_ready(self, candidate: Asked, /) -> bool:
        """Whether it may send now, by its limits and its breaker."""
        ...


class Choosing(Generic[C]):
    """The choice among candidates that stay the same while what is asked of them changes."""

    def __init__(self, candidates: Sequence[C]) -> None:
        self._candidates = candidates
        lowest = min((candidate.tier for candidate in candidates), default=0)
        self._first = [candidate for candidate in candidates if candidate.tier == lowest]
        self._even = len({candidate.weight for candidate in self._first}) == 1

    def choose(self, question: Question[C], draw: Callable[[], float]) -> C | None:
        """The one that takes the call; None when those that should take it are not ready.

        The first that there are of: healthy ones not yet tried, healthy ones, those not yet tried, all; and of these
        the lowest tier. A tier is not left only because it has to wait, but for want of a healthy one. Where nobody is
        healthy, whoever may send at all is taken. `draw` gives random numbers in [0, 1).
        """
        if len(self._first) > 1 and (chosen := self._at_once(question, draw)) is not None:
            return chosen
        well = [candidate for candidate in self._candidates if question.is_well(candidate)]
        ready = _of_first_rank(well, question) if well else self._candidates
        ready = [candidate for candidate in ready if question.is_ready(candidate)]
        if not well:
            ready = _of_first_rank(ready, question)
        if len(ready) < 2:
            return ready[0] if ready else None
        return _less_busy(ready, draw)

    def _at_once(self, question: Question[C], draw: Callable[[], float]) -> C | None:
        """A pair is drawn before anybody is asked, so that a large pool costs no more than a small one."""
        if draw() < EXPLORED_SHARE:
            pair = [self._first[int(draw() * len(self._first))]]
        else:
            pair = (
                self._first if len(self._first) == 2 else (_any_pair if self._even else _drawn_pair)(self._first, draw)
            )
        for candidate in pair:
            if question.was_tried(candidate) or not (question.is_well(candidate) and question.is_ready(candidate)):
                return None
        return pair[0] if len(pair) == 1 else _less_loaded(pair)


def _of_first_rank(candidates: Sequence[C], question: Question[C]) -> Sequence[C]:
    """Those of the lowest tier among those not yet tried, or among all where all were."""
    untried = [candidate for candidate in candidates if not question.was_tried(candidate)]
    left = untried or candidates
    lowest = min((candidate.tier for candidate in left), default=0)
    return [candidate for candidate in left if candidate.tier == lowest]


def _less_busy(ready: Sequence[C], draw: Callable[[], float]) -> C:
    if draw() < EXPLORED_SHARE:
        return ready[int(draw() * len(ready))]
    return _less_loaded(ready if len(ready) == 2 else _drawn_pair(ready, draw))


def _less_loaded(pair: Sequence[C]) -> C:
    """An unknown latency counts as that of the other, and goes first among equals."""
    first, second = pair
    first_s, second_s = first.latency_s, second.latency_s
    first_load = _load(first, first_s if first_s is not None else second_s)
    second_load = _load(second, second_s if second_s is not None else first_s)
    if first_load == second_load:
        return second if second_s is None and first_s is not None else first
    return first if first_load < second_load else second


def _any_pair(candidates: Sequence[C], draw: Callable[[], float]) -> list[C]:
    """Two different ones, all equally likely."""
    first, second = int(draw() * len(candidates)), int(draw() * (len(candidates) - 1))
    return [candidates[first], candidates[second + (second >= first)]]


def _drawn_pair(candidates: Sequence[C], draw: Callable[[], float]) -> list[C]:
    """Two different ones, each as likely as its weight."""
    weights = [_weight(candidate) for candidate in candidates]
    first = _drawn(weights, draw())
    weights[first] = 0.0
    return [candidates[first], candidates[_drawn(weights, draw())]]


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


def _load(candidate: Candidate, latency_s: float | None) -> float:
    """How busy it is for its weight."""
    return (1.0 if latency_s is None else latency_s) * (candidate.in_flight + 1) / _weight(candidate)


def _weight(candidate: Candidate) -> float:
    weight = candidate.weight
    return weight if weight > LEAST_WEIGHT else LEAST_WEIGHT


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
