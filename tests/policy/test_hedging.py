"""Second copies of late calls: when, and how many."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.policy.hedging import Hedging, Latencies

NOW_S = 1_000.0


def taught(*latencies_s: float, now_s: float = NOW_S) -> Hedging:
    """One that has seen these answers."""
    hedging = Hedging()
    hedging.after_s(now_s)
    for latency_s in latencies_s:
        hedging.answered(latency_s)
    return hedging


def test_nothing_is_known_before_a_hundred_answers() -> None:
    """The slowest in a hundred cannot be told from ninety-nine."""
    hedging = taught(*[2.0] * 99)
    assert hedging.after_s(NOW_S) is None
    hedging.answered(2.0)
    assert hedging.after_s(NOW_S) == pytest.approx(2.0, rel=0.05)


def test_a_copy_goes_after_the_slowest_in_a_hundred() -> None:
    """One call in a hundred is beyond it, the others are not."""
    hedging = taught(*[3.0] * 990, *[60.0] * 10)
    assert hedging.after_s(NOW_S) == pytest.approx(3.0, rel=0.05)
    hedging = taught(*[3.0] * 980, *[60.0] * 20)
    assert hedging.after_s(NOW_S) == pytest.approx(60.0, rel=0.05)


def test_no_copy_goes_within_a_second() -> None:
    """Fast answers are not worth a second price."""
    assert taught(*[0.01] * 500).after_s(NOW_S) == 1.0


@given(st.lists(st.floats(0.0, 10_000.0), min_size=100, max_size=400))
def test_the_percentile_is_never_too_short(latencies_s: list[float]) -> None:
    """At least the exact one, and at most a twentieth more; never below a second."""
    known = Latencies()
    for latency_s in latencies_s:
        known.add(latency_s)
    exact_s = sorted(latencies_s)[math.ceil(0.99 * len(latencies_s)) - 1]
    read_s = known.p99_s()
    assert read_s is not None
    assert max(1.0, exact_s) * 0.999 <= read_s <= max(1.0, exact_s) * 1.051


@pytest.mark.parametrize("before", [1_000, 100_000])
def test_a_new_pace_is_learned_however_long_the_old_one_lasted(before: int) -> None:
    """What was learned long ago does not outweigh what comes now."""
    hedging = taught(*[40.0] * before)
    for second in range(200):
        hedging.after_s(NOW_S + second)
        for _ in range(100):
            hedging.answered(2.0)
    assert hedging.after_s(NOW_S + 200) == pytest.approx(2.0, rel=0.05)


def test_of_a_thousand_calls_thirty_are_sent_twice() -> None:
    """The share holds however often it is asked."""
    hedging = taught(*[2.0] * 1_000)
    assert sum(hedging.allow(NOW_S) for _ in range(200)) == 30


def test_without_calls_nothing_is_sent_twice() -> None:
    """A provider that answers nobody is not sent more."""
    assert not Hedging().allow(NOW_S)
    assert not taught(*[2.0] * 1_000).allow(NOW_S + 131)


def test_after_two_minutes_the_share_is_free_again() -> None:
    """Copies of long ago do not count against the calls of now."""
    hedging = taught(*[2.0] * 1_000)
    assert sum(hedging.allow(NOW_S) for _ in range(200)) == 30
    hedging.after_s(NOW_S + 131)
    for _ in range(100):
        hedging.answered(2.0)
    assert sum(hedging.allow(NOW_S + 132) for _ in range(200)) == 3


@given(st.lists(st.tuples(st.floats(0.0, 30.0), st.integers(0, 60), st.integers(0, 20)), max_size=40))
def test_never_more_than_the_share_of_two_minutes(steps: list[tuple[float, int, int]]) -> None:
    """Whatever comes when: whenever a copy is allowed, those of the last two minutes are at most the share."""
    hedging, now_s = Hedging(), NOW_S
    calls: list[float] = []
    copies: list[float] = []
    for wait_s, answered, asked in steps:
        now_s += wait_s
        hedging.after_s(now_s)
        for _ in range(answered):
            hedging.answered(2.0)
            calls.append(now_s)
        for _ in range(asked):
            if hedging.allow(now_s):
                copies.append(now_s)
                recent = [at_s for at_s in copies if at_s > now_s - 120]
                assert len(recent) <= 0.03 * sum(at_s > now_s - 120 for at_s in calls)
