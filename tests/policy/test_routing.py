"""The choice among the scopes of a pool."""

from collections import Counter
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from penstock.policy.routing import Choosing, LatencyAverage


class Candidate(msgspec.Struct, frozen=True, eq=False):
    """A candidate, and what it says when it is asked."""

    tier: int
    weight: float
    latency_s: float | None
    in_flight: int
    healthy: bool
    tried: bool
    ready: bool


class Question:
    """Asks."""

    def is_well(self, candidate: Candidate) -> bool:
        """Whether it is healthy."""
        return candidate.healthy

    def was_tried(self, candidate: Candidate) -> bool:
        """Whether it failed."""
        return candidate.tried

    def is_ready(self, candidate: Candidate) -> bool:
        """Whether it may send."""
        return candidate.ready


def choose(pool: Sequence[Candidate], draw: Callable[[], float]) -> int | None:
    """The place of the one that is chosen."""
    pool = [replace(one) for one in pool]
    chosen = Choosing(pool).choose(Question(), draw)
    return None if chosen is None else next(place for place, one in enumerate(pool) if one is chosen)


PLAIN = Candidate(tier=0, weight=1.0, latency_s=1.0, in_flight=0, healthy=True, tried=False, ready=True)
LATER = replace(PLAIN, tier=1)

CANDIDATES = st.lists(
    st.builds(
        Candidate,
        tier=st.integers(0, 2),
        weight=st.floats(0.0, 10.0),
        latency_s=st.none() | st.floats(0.0, 100.0),
        in_flight=st.integers(0, 1_000),
        healthy=st.booleans(),
        tried=st.booleans(),
        ready=st.booleans(),
    ),
    max_size=6,
)


def steady() -> Callable[[], float]:
    """Draws that are the same in every run of the tests."""
    return Random(7).random


def under_load(pool: Sequence[Candidate], calls: int = 10_000, in_flight: int = 200) -> Counter[int]:
    """How many calls each of the pool gets with so many in flight; a call is about as long as its latency."""
    draw, length = steady(), Random(11)
    busy: list[tuple[float, int]] = []
    load, got = Counter[int](), Counter[int]()
    now_s = 0.0
    for _ in range(calls):
        if len(busy) == in_flight:
            now_s, landed = heappop(busy)
            load[landed] -= 1
        chosen = choose([replace(one, in_flight=load[place]) for place, one in enumerate(pool)], draw)
        assert chosen is not None
        got[chosen] += 1
        load[chosen] += 1
        heappush(busy, (now_s + (pool[chosen].latency_s or 1.0) * length.expovariate(1.0), chosen))
    return got


@pytest.mark.parametrize(
    ("pool", "chosen"),
    [
        ([], None),
        ([PLAIN], 0),
        ([replace(PLAIN, ready=False)], None),
        ([LATER, PLAIN], 1),
        ([replace(PLAIN, ready=False), LATER], None),
        ([replace(PLAIN, ready=False), PLAIN, LATER], 1),
        ([replace(PLAIN, healthy=False), LATER], 1),
        ([replace(PLAIN, tried=True), PLAIN], 1),
        ([replace(PLAIN, tried=True), LATER], 1),
        ([replace(PLAIN, tried=True), replace(LATER, ready=False)], None),
        ([replace(PLAIN, tried=True), replace(LATER, tried=True)], 0),
        ([replace(PLAIN, tried=True), replace(LATER, healthy=False)], 0),
        ([replace(PLAIN, tried=True)], 0),
        ([replace(PLAIN, healthy=False)], 0),
        ([replace(PLAIN, healthy=False, tried=True)], 0),
        ([replace(PLAIN, healthy=False, ready=False)], None),
        ([replace(PLAIN, healthy=False, ready=False), replace(LATER, healthy=False)], 1),
        ([replace(PLAIN, healthy=False, tried=True), replace(LATER, healthy=False)], 1),
    ],
)
def test_the_order_of_tiers_health_and_trials(pool: Sequence[Candidate], chosen: int | None) -> None:
    """A healthy one that was not tried comes before everything; a tier is not left because it has to wait."""
    assert choose(pool, steady()) == chosen


@settings(deadline=None)
@given(pool=CANDIDATES, seed=st.integers(0, 1_000))
def test_whatever_the_pool_the_choice_is_sound(pool: list[Candidate], seed: int) -> None:
    """It is ready; no healthy untried one stands in a lower tier; and a lone one that is ready is always taken."""
    chosen = choose(pool, Random(seed).random)
    fresh = [one for one in pool if one.healthy and not one.tried]
    if chosen is not None:
        assert pool[chosen].ready
        assert not fresh or (pool[chosen] in fresh and pool[chosen].tier == min(one.tier for one in fresh))
    elif not any(one.healthy for one in pool):
        assert not any(one.ready for one in pool)
    if len(pool) == 1:
        assert (chosen == 0) is pool[0].ready


def test_of_two_the_less_busy_one_is_taken() -> None:
    """By latency times calls in flight, over weight."""
    draw = iter([0.5] * 4).__next__
    assert choose([replace(PLAIN, in_flight=9), replace(PLAIN, in_flight=4)], draw) == 1
    assert choose([replace(PLAIN, latency_s=2.0, in_flight=4), replace(PLAIN, in_flight=8)], draw) == 1
    assert choose([replace(PLAIN, weight=3.0, in_flight=9), replace(PLAIN, in_flight=4)], draw) == 0
    assert choose([replace(PLAIN, latency_s=None, in_flight=1), replace(PLAIN, latency_s=5.0, in_flight=1)], draw) == 0


def test_weights_are_kept_under_load() -> None:
    """Of equally fast ones each gets its share, also the one that is worth more than all others together."""
    got = under_load([replace(PLAIN, weight=8.0), PLAIN, PLAIN])
    assert got[0] / got.total() == pytest.approx(0.8, abs=0.03)
    assert got[1] / got.total() == pytest.approx(0.1, abs=0.02)


def test_a_slow_one_gets_little_but_not_nothing() -> None:
    """It holds fewer calls at any time, and each takes longer."""
    got = under_load([PLAIN, PLAIN, replace(PLAIN, latency_s=10.0)])
    assert 0.005 < got[2] / got.total() < 0.05
    assert got[0] / got[1] == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize(
    "worst",
    [replace(PLAIN, latency_s=1e6), replace(PLAIN, weight=0.0), replace(PLAIN, in_flight=100_000)],
)
def test_nobody_starves(worst: Candidate) -> None:
    """A share of the calls goes to any one that may take it."""
    draw = steady()
    got = Counter(choose([PLAIN, PLAIN, worst], draw) for _ in range(10_000))
    assert 50 < got[2] < 200


def test_of_equals_the_unknown_one_is_tried_first() -> None:
    """Also when calls go one by one, and nobody is busy."""
    draw = iter([0.5] * 2).__next__
    assert choose([PLAIN, replace(PLAIN, latency_s=None)], draw) == 1
    assert choose([replace(PLAIN, latency_s=None), PLAIN], draw) == 0


def test_a_new_one_is_tried_without_a_herd() -> None:
    """Nothing is known of it, so it counts as the fastest until it is as busy as the others."""
    pool = [replace(PLAIN, in_flight=5), replace(PLAIN, in_flight=5), replace(PLAIN, latency_s=None)]
    draw = steady()
    for _ in range(60):
        chosen = choose(pool, draw)
        assert chosen is not None
        pool[chosen] = replace(pool[chosen], in_flight=pool[chosen].in_flight + 1)
    assert max(one.in_flight for one in pool) - min(one.in_flight for one in pool) <= 5


def test_the_average_begins_with_the_first_and_soon_knows_the_mean() -> None:
    """The first calls weigh more, so that the very first does not decide for long."""
    average = LatencyAverage()
    assert average.mean_s is None
    for latency_s in (2.0, 4.0, 6.0):
        average.note(latency_s)
    assert average.mean_s == pytest.approx(4.0)


def test_one_very_long_answer_hardly_moves_the_average() -> None:
    """It counts as five times the mean, by a twentieth."""
    average = LatencyAverage()
    for _ in range(100):
        average.note(1.0)
    average.note(600.0)
    assert average.mean_s == pytest.approx(1.2)


@pytest.mark.parametrize(("before_s", "after_s"), [(1.0, 100.0), (100.0, 1.0), (0.0, 1.0)])
def test_the_average_follows_a_lasting_change(before_s: float, after_s: float) -> None:
    """Within two hundred calls it is there, in either direction, also from nothing at all."""
    average = LatencyAverage()
    for _ in range(50):
        average.note(before_s)
    for _ in range(200):
        average.note(after_s)
    assert average.mean_s == pytest.approx(after_s, rel=0.05)
