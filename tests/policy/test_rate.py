"""The rate: what is allowed in a minute is never exceeded, and nearly used up."""

import math
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.policy.announced import Announced
from penstock.policy.changes import Changes
from penstock.policy.landing import Kind, Landing
from penstock.policy.rate import Limits, Rate

MINUTE_S = 60.0


def rate_of(limits: Limits) -> Rate:
    """A rate that begins at once, as with a fixed number of calls."""
    return Rate(limits, False, Changes())


def sent_by(rate: Rate, until_s: float, calls: Iterable[int], rest_s: Iterable[float]) -> list[tuple[float, int]]:
    """When each call went, of so many tokens, by a client that rests now and then and else asks when told to."""
    now_s, sent = 0.0, []
    for tokens, pause_s in zip(calls, rest_s, strict=False):
        now_s += pause_s
        while (wait_s := rate.wait_s(now_s, tokens, 1.0)) > 0 and now_s < until_s:
            now_s += wait_s
        if now_s >= until_s:
            break
        rate.start(now_s, tokens, 1.0)
        sent.append((now_s, tokens))
    return sent


def most_in_a_minute(sent: list[tuple[float, int]]) -> tuple[int, int]:
    """The most calls and the most tokens within any minute."""
    calls = tokens = begin = sum_of_tokens = 0
    for place, (at_s, amount) in enumerate(sent):
        sum_of_tokens += amount
        while sent[begin][0] <= at_s - MINUTE_S:
            sum_of_tokens -= sent[begin][1]
            begin += 1
        calls, tokens = max(calls, place - begin + 1), max(tokens, sum_of_tokens)
    return calls, tokens


@settings(max_examples=60, deadline=None)
@given(
    rpm=st.one_of(st.sampled_from([1.0, 2.0, 3.0, 60.0]), st.floats(1.0, 400.0)),
    rest_s=st.lists(st.sampled_from([0.0, 0.0, 0.0, 0.3, 5.0, 61.0]), min_size=300, max_size=300),
)
def test_no_minute_takes_more_calls_than_allowed(rpm: float, rest_s: list[float]) -> None:
    """Wherever the minute begins, and also after a rest, when the bucket is full."""
    sent = sent_by(rate_of(Limits(rpm=rpm)), 600.0, [0] * len(rest_s), rest_s)
    assert most_in_a_minute(sent)[0] <= rpm


@settings(max_examples=60, deadline=None)
@given(
    tpm=st.floats(100.0, 5_000.0),
    calls=st.lists(st.tuples(st.integers(1, 100), st.sampled_from([0.0, 0.0, 0.2, 61.0])), min_size=1, max_size=200),
)
def test_no_minute_takes_more_tokens_than_allowed(tpm: float, calls: list[tuple[int, float]]) -> None:
    """Large and small calls in any order."""
    sent = sent_by(rate_of(Limits(tpm=tpm)), 600.0, [size for size, _ in calls], [rest for _, rest in calls])
    assert most_in_a_minute(sent)[1] <= tpm


@pytest.mark.parametrize("rpm", [1.0, 3.0, 20.0, 600.0])
def test_nearly_all_that_is_allowed_goes(rpm: float) -> None:
    """A client that always has work uses nineteen twentieths of its limit, even of a very small one."""
    until_s = 20 * MINUTE_S
    endless = 2 * int(rpm * 20)
    sent = sent_by(rate_of(Limits(rpm=rpm)), until_s, [0] * endless, [0.0] * endless)
    assert len(sent) >= 0.95 * rpm * 20


def test_a_limit_below_one_per_minute_lets_one_go_at_a_time() -> None:
    """One every two minutes, and a little more slowly."""
    rate = rate_of(Limits(rpm=0.5))
    rate.start(0.0, 0, 1.0)
    assert 120 <= rate.wait_s(0.0, 0, 1.0) <= 125


def test_a_call_larger_than_the_users_limit_never_goes() -> None:
    """One as large as the limit does."""
    rate = rate_of(Limits(tpm=1_000))
    assert rate.wait_s(0.0, 1_001, 1.0) == math.inf
    assert rate.wait_s(0.0, 1_000, 1.0) == 0.0


def test_a_call_larger_than_an_announced_limit_may_be_tried() -> None:
    """Estimates are high, and what is announced may mean something else."""
    rate = rate_of(Limits())
    rate.learn(0.0, Announced(tpm=1_000.0))
    assert rate.wait_s(0.0, 1_001, 1.0) == 0.0


def test_the_users_limits_win_over_announced_ones() -> None:
    """Whichever is larger: the user may share the account with others, or know better."""
    rate = rate_of(Limits(rpm=60))
    rate.learn(0.0, Announced(rpm=6_000.0, tpm=1_000.0))
    assert rate.limits == Limits(60, 1_000)
    rate.configure(1.0, Limits())
    assert rate.limits == Limits(6_000, 1_000)


def test_what_is_not_announced_this_time_stays() -> None:
    """Some answers carry no headers of that kind."""
    rate = rate_of(Limits())
    rate.learn(0.0, Announced(rpm=600.0))
    rate.learn(1.0, Announced())
    assert rate.limits == Limits(600)


def test_a_change_is_noted_once_with_its_reason() -> None:
    """Hearing the same again is none."""
    changes = Changes()
    rate = Rate(Limits(), True, changes)
    for second in range(3):
        rate.learn(float(second), Announced(rpm=600.0))
    rate.configure(9.0, Limits(rpm=60))
    noted = [(change.what, change.old, change.new, change.why) for change in changes.last()]
    assert noted == [("rpm", None, 600, "announced by the provider"), ("rpm", 600, 60, "set by the user")]


def test_tokens_that_were_not_used_are_given_back() -> None:
    """The next call need not wait for what the estimate was too high."""
    rate = rate_of(Limits(tpm=1_000))
    rate.start(0.0, 1_000, 1.0)
    long_s = rate.wait_s(1.0, 100, 1.0)
    rate.settle(Landing(Kind.ANSWERED, 0.0, 1.0, reserved_tokens=1_000, tokens=50))
    assert rate.wait_s(1.0, 100, 1.0) < 10 < long_s


def test_tokens_that_are_not_known_stay_taken() -> None:
    """Who was cut off may have used them all."""
    rate = rate_of(Limits(tpm=1_000))
    rate.start(0.0, 1_000, 1.0)
    before_s = rate.wait_s(1.0, 100, 1.0)
    rate.settle(Landing(Kind.BROKEN, 0.0, 1.0, reserved_tokens=1_000))
    assert rate.wait_s(1.0, 100, 1.0) == before_s


def test_without_any_limit_nothing_waits() -> None:
    """A fixed number of calls goes at once."""
    rate = rate_of(Limits())
    for _ in range(1_000):
        rate.start(0.0, 10, 1.0)
    assert rate.wait_s(0.0, 10, 1.0) == 0.0
