"""The rate: what is allowed in a minute is never exceeded, whatever calls come to, and nearly used up."""

import heapq
import math
from collections.abc import Iterable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.policy.announced import Announced
from penstock.policy.changes import Changes
from penstock.policy.flow import Flow
from penstock.policy.landing import Kind, Landing
from penstock.policy.rate import Limits, Rate

MINUTE_S = 60.0 - 1e-6
"""A minute, but for what rounding can take from it."""
MANY = 10_000


class Call(msgspec.Struct, frozen=True):
    """A call to come `gap_s` after the one before: what it is thought to need, what it will use, and its end."""

    gap_s: float = 0.0
    estimated: int = 0
    used: int | None = None
    latency_s: float = 1.0
    kind: Kind = Kind.ANSWERED
    retry: bool = False


class Sent(msgspec.Struct, frozen=True):
    """A call that went; `tokens` are those that were estimated right."""

    at_s: float
    tokens: int


class Client:
    """Sends one call after the other as soon as it may go, and lands them in the order of time."""

    def __init__(self, flow: Flow, now_s: float = 0.0) -> None:
        self.flow, self.now_s = flow, now_s
        self.sent: list[Sent] = []
        self._ends: list[tuple[float, int, float, Call]] = []

    def send(self, calls: Iterable[Call], until_s: float = math.inf) -> "Client":
        """Send them until then; those that may never go are left out."""
        for call in calls:
            self._live(self.now_s + call.gap_s)
            if self._wait_for(call, until_s):
                self._go(call)
        return self

    def _wait_for(self, call: Call, until_s: float) -> bool:
        while self.now_s < until_s:
            wait_s = self.flow.wait_s(self.now_s, call.estimated, call.retry)
            if wait_s == 0.0:
                return True
            if wait_s == math.inf:
                return False
            self._live(self._ends[0][0] if wait_s is None else self.now_s + wait_s)
        return False

    def _go(self, call: Call) -> None:
        self.flow.start(self.now_s, call.estimated, call.retry)
        right = call.estimated if call.used is None else min(call.estimated, call.used)
        self.sent.append(Sent(self.now_s, right))
        heapq.heappush(self._ends, (self.now_s + call.latency_s, len(self.sent), self.now_s, call))

    def _live(self, until_s: float) -> None:
        while self._ends and self._ends[0][0] <= until_s:
            self.now_s, _, sent_s, call = heapq.heappop(self._ends)
            self.flow.land(
                self.now_s, Landing(call.kind, sent_s, self.now_s, call.estimated, call.used), 0.5, call.retry
            )
        self.now_s = until_s


def fullest_minute(sent: list[Sent]) -> tuple[int, int]:
    """The most calls, and the most tokens, that any minute holds."""
    calls = tokens = begin = inside = 0
    for place, one in enumerate(sent):
        inside += one.tokens
        while sent[begin].at_s <= one.at_s - MINUTE_S:
            inside -= sent[begin].tokens
            begin += 1
        calls, tokens = max(calls, place - begin + 1), max(tokens, inside)
    return calls, tokens


def endless(count: int, tokens: int = 0) -> list[Call]:
    """Equal calls without a pause between them."""
    return [Call(estimated=tokens, used=tokens or None)] * count


CALLS = st.lists(
    st.builds(
        Call,
        gap_s=st.one_of(st.just(0.0), st.floats(0.0, 2.0), st.sampled_from([0.1, 5.0, 20.0, 59.9, 60.0, 61.0, 600.0])),
        estimated=st.integers(0, 400),
        used=st.one_of(st.none(), st.integers(1, 800)),
        latency_s=st.sampled_from([0.0, 0.3, 5.0, 59.95, 60.0, 90.0]),
        kind=st.sampled_from([Kind.ANSWERED] * 8 + list(Kind)),
        retry=st.booleans(),
    ),
    min_size=1,
    max_size=60,
)
RATES = st.one_of(st.sampled_from([0.5, 1.0, 1.5, 2.0, 3.0]), st.floats(0.2, 400.0))
TOKENS = st.one_of(st.integers(1, 400), st.integers(400, 5_000))
MOMENTS = st.sampled_from([0.0, 0.05, 12_345.678, 1e6 + 1 / 3])
"""When the monotonic clock of a machine may stand."""


@settings(max_examples=60, deadline=None)
@given(calls=CALLS, rpm=RATES, begin_s=MOMENTS, concurrency=st.sampled_from([None, 3, MANY]))
def test_no_minute_takes_more_calls(calls: list[Call], rpm: float, begin_s: float, concurrency: int | None) -> None:
    """Whenever they come, however they end, and retries as well."""
    client = Client(Flow(Limits(rpm=rpm), concurrency), begin_s).send(calls)
    assert len(client.sent) == len(calls)
    assert fullest_minute(client.sent)[0] <= max(1.0, rpm)


@settings(max_examples=60, deadline=None)
@given(calls=CALLS, tpm=TOKENS, begin_s=MOMENTS)
def test_no_minute_takes_more_tokens(calls: list[Call], tpm: int, begin_s: float) -> None:
    """As far as they were estimated right: what an answer used beyond that is known only when it has come."""
    client = Client(Flow(Limits(tpm=tpm), MANY), begin_s).send(calls)
    assert len(client.sent) == sum(call.estimated <= tpm for call in calls)
    assert fullest_minute(client.sent)[1] <= tpm


@settings(max_examples=40, deadline=None)
@given(calls=CALLS, rpm=RATES, tpm=TOKENS)
def test_both_limits_hold_together(calls: list[Call], rpm: float, tpm: int) -> None:
    """The one that binds now may not let the other go."""
    fullest = fullest_minute(Client(Flow(Limits(rpm, tpm), MANY)).send(calls).sent)
    assert fullest[0] <= max(1.0, rpm)
    assert fullest[1] <= tpm


@settings(max_examples=40, deadline=None)
@given(calls=CALLS, later=CALLS, old=RATES, new=RATES)
def test_another_limit_holds_at_once(calls: list[Call], later: list[Call], old: float, new: float) -> None:
    """Calls that were sent under the old one count for the minute in which it was changed."""
    client = Client(Flow(Limits(rpm=old), MANY)).send(calls)
    before = len(client.sent)
    client.flow.configure(client.now_s, Limits(rpm=new))
    client.send(later)
    for last in range(before, len(client.sent)):
        end_s = client.sent[last].at_s
        assert sum(one.at_s > end_s - MINUTE_S for one in client.sent[: last + 1]) <= max(1.0, new)


@pytest.mark.parametrize("rpm", [1.0, 3.0, 20.0, 600.0])
def test_nearly_all_that_is_allowed_goes(rpm: float) -> None:
    """A client that always has work uses nineteen twentieths of its limit over twenty minutes, and never more."""
    client = Client(Flow(Limits(rpm=rpm), MANY)).send(endless(2 * int(rpm * 20)), until_s=1_200.0)
    assert len(client.sent) >= 0.95 * rpm * 20
    assert fullest_minute(client.sent)[0] <= rpm


@pytest.mark.parametrize("rpm", [0.1, 0.5, 1.0, 1.5, 2.0, 2.9])
def test_a_tiny_limit_is_kept_and_used(rpm: float) -> None:
    """Over two hours, and never two calls where one is allowed."""
    client = Client(Flow(Limits(rpm=rpm))).send(endless(400), until_s=7_200.0)
    assert fullest_minute(client.sent)[0] <= max(1, int(rpm))
    assert 0.95 * min(rpm, max(1, int(rpm))) * 120 <= len(client.sent) <= rpm * 120 + 1


@pytest.mark.parametrize(("tpm", "tokens"), [(1, 1), (100, 100), (100, 51), (100, 50), (100, 7)])
def test_a_tiny_limit_of_tokens_is_kept_and_used(tpm: int, tokens: int) -> None:
    """Also where a single call takes all that a minute allows."""
    client = Client(Flow(Limits(tpm=tpm), MANY)).send(endless(400, tokens), until_s=1_200.0)
    in_a_minute = tpm // tokens
    assert fullest_minute(client.sent)[1] <= in_a_minute * tokens
    assert len(client.sent) >= 0.85 * in_a_minute * 20


@pytest.mark.parametrize(("user", "announced"), [(30, 6_000), (300, 6)])
def test_the_users_limit_wins_over_an_announced_one(user: int, announced: int) -> None:
    """Larger or smaller."""
    flow = Flow(Limits(rpm=user), MANY)
    flow.learn(0.0, Announced(rpm=float(announced)))
    client = Client(flow).send(endless(400), until_s=60.0)
    assert 0.9 * user <= len(client.sent) <= user


def test_an_announced_limit_holds_where_the_user_sets_none() -> None:
    """And where the user gives up one that was set."""
    flow = Flow(Limits(rpm=600), MANY)
    flow.learn(0.0, Announced(rpm=30.0))
    flow.configure(0.0, Limits())
    client = Client(flow).send(endless(400), until_s=60.0)
    assert 27 <= len(client.sent) <= 30


def test_no_limit_of_the_user_is_passed_by_what_was_found() -> None:
    """A 429 makes the pace slower, and the way back ends below the limit."""
    flow = Flow(Limits(rpm=60), MANY)
    client = Client(flow).send([*endless(50), Call(kind=Kind.THROTTLED), *endless(500)], until_s=600.0)
    assert fullest_minute(client.sent)[0] <= 60
    assert flow.snapshot(client.now_s).rpm == 58.2


# What is known of the limits


def rate_of(limits: Limits) -> Rate:
    """A rate that begins at once, as with a fixed number of calls."""
    return Rate(limits, False, Changes())


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
