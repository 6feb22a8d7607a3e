"""The flow of a scope: what lets a call go, and what each end changes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.policy.announced import Announced
from penstock.policy.backoff import RETRY_AFTER_SPREAD
from penstock.policy.flow import Flow
from penstock.policy.landing import Kind, Landing
from penstock.policy.rate import Limits

EVEN = 0.5


def end(flow: Flow, kind: Kind, sent_s: float, now_s: float, **told: float | bool) -> None:
    """A call that was sent before ends."""
    draw = float(told.pop("draw", EVEN))
    wait_s = told.pop("retry_after_s", None)
    slow_down = bool(told.pop("slow_down", False))
    landing = Landing(kind, sent_s, now_s, retry_after_s=None if wait_s is None else float(wait_s), slow_down=slow_down)
    flow.land(now_s, landing, draw)


def call(flow: Flow, kind: Kind, now_s: float, **told: float | bool) -> None:
    """Send a call that ends at once."""
    flow.start(now_s)
    end(flow, kind, now_s, now_s, **told)


def fill(flow: Flow, now_s: float, most: int = 10_000) -> int:
    """Send as many as may go at one moment."""
    sent = 0
    while sent < most and flow.wait_s(now_s) == 0.0:
        flow.start(now_s)
        sent += 1
    return sent


def paced(flow: Flow, begin_s: float, until_s: float, latency_s: float = 0.1) -> int:
    """Send and answer all that may go for a while; how many went."""
    now_s, sent = begin_s, 0
    while now_s < until_s:
        if (wait_s := flow.wait_s(now_s)) == 0.0:
            flow.start(now_s)
            end(flow, Kind.ANSWERED, now_s, now_s + latency_s)
            sent += 1
        else:
            now_s += wait_s or latency_s
    return sent


@pytest.mark.parametrize("number", [1, 7, 500])
def test_a_fixed_number_goes_at_once_and_exactly(number: int) -> None:
    """No ramp of any kind; the next one waits for a landing."""
    flow = Flow(concurrency=number)
    assert fill(flow, 0.0) == number == flow.in_flight
    assert flow.wait_s(0.0) is None
    end(flow, Kind.ANSWERED, 0.0, 1.0)
    assert flow.wait_s(1.0) == 0.0


def test_asking_changes_nothing() -> None:
    """It is only a look."""
    flow = Flow(Limits(rpm=60, tpm=1_000), 5)
    answers = {flow.wait_s(0.0, 10) for _ in range(1_000)}
    assert answers == {0.0}
    assert flow.in_flight == 0


@pytest.mark.parametrize("kind", list(Kind))
def test_every_end_gives_its_place_back(kind: Kind) -> None:
    """A cancelled call too."""
    flow = Flow(concurrency=1)
    call(flow, kind, 0.0)
    assert flow.in_flight == 0


# What the provider asks for


@settings(deadline=None)
@given(wait_s=st.floats(0.1, 600.0), draw=st.floats(0.0, 1.0, exclude_max=True))
def test_nothing_leaves_before_the_wait_has_ended(wait_s: float, draw: float) -> None:
    """And at most a tenth later, so that not all clients come back at once."""
    flow = Flow(concurrency=10)
    call(flow, Kind.THROTTLED, 100.0, retry_after_s=wait_s, draw=draw)
    until_s = flow.paused_until_s(100.0)
    assert 100 + wait_s <= until_s <= 100 + wait_s * (1 + RETRY_AFTER_SPREAD) + 1e-9
    left_s = flow.wait_s(100.0, retry=True)
    assert left_s is not None
    assert left_s >= wait_s - 1e-9
    assert not flow.healthy(100.0)
    assert flow.healthy(until_s)


@pytest.mark.parametrize("kind", [Kind.THROTTLED, Kind.OVERLOADED])
def test_a_wait_is_kept_whoever_asks_for_it(kind: Kind) -> None:
    """A 503 with Retry-After as well as a 429."""
    flow = Flow(concurrency=10)
    call(flow, kind, 0.0, retry_after_s=30.0)
    assert flow.paused_until_s(29.0) == 31.5
    assert flow.snapshot(1.5).binds == "waiting 30 s: the provider asked to"


def test_a_shorter_wait_does_not_end_a_longer_one() -> None:
    """Calls in flight together are told different times."""
    flow = Flow(concurrency=10)
    call(flow, Kind.THROTTLED, 0.0, retry_after_s=60.0)
    call(flow, Kind.THROTTLED, 1.0, retry_after_s=1.0)
    assert flow.paused_until_s(2.0) == 63.0


def test_without_a_hint_the_wait_doubles_up_to_a_minute() -> None:
    """Anything up to a second at first; an answer begins anew."""
    flow, now_s, waits_s = Flow(concurrency=10), 0.0, []
    for _ in range(8):
        call(flow, Kind.THROTTLED, now_s, draw=0.999)
        waits_s.append(round(flow.paused_until_s(now_s) - now_s))
        now_s = flow.paused_until_s(now_s) + 1
    assert waits_s == [1, 2, 4, 8, 16, 32, 60, 60]
    call(flow, Kind.ANSWERED, now_s)
    call(flow, Kind.THROTTLED, now_s + 1, draw=0.999)
    assert round(flow.paused_until_s(now_s + 1) - now_s - 1) == 1


# The pace that is found


def cuts(flow: Flow, now_s: float) -> int:
    """How often the pace was cut."""
    return sum(change.what == "pace in rpm" for change in flow.snapshot(now_s).changes)


def test_one_episode_is_one_cut() -> None:
    """However many of the calls that were in flight together are turned away."""
    flow = Flow(concurrency=100)
    fill(flow, 0.0)
    for _ in range(50):
        end(flow, Kind.THROTTLED, 0.0, 0.2)
    assert cuts(flow, 0.2) == 1
    call(flow, Kind.THROTTLED, 4.0)
    assert cuts(flow, 4.0) == 1
    call(flow, Kind.THROTTLED, 6.0)
    assert cuts(flow, 6.0) == 2


def test_a_long_wait_is_one_episode() -> None:
    """Nothing is learned until it has ended."""
    flow = Flow(concurrency=100)
    call(flow, Kind.THROTTLED, 0.0, retry_after_s=30.0)
    call(flow, Kind.THROTTLED, 20.0, retry_after_s=1.0)
    assert cuts(flow, 20.0) == 1


def throttled_at(rate: float, **told: bool) -> tuple[Flow, float]:
    """A flow that went at a known rate for a minute and was then turned away once; the moment when it may go on."""
    flow = Flow(concurrency=1_000)
    for second in range(60):
        for part in range(int(rate)):
            call(flow, Kind.ANSWERED, second + part / rate)
    call(flow, Kind.THROTTLED, 60.0, retry_after_s=1.0, draw=0.0, **told)
    return flow, 62.0


def test_after_a_429_the_pace_goes_below_what_was_used_and_comes_back() -> None:
    """At once 85 %, all of it again after 45 s."""
    flow, now_s = throttled_at(10.0)
    first = paced(flow, now_s, now_s + 2.0)
    assert 15 <= first <= 21
    later = paced(flow, now_s + 2.0, 105.0)
    assert 0.85 * 10 * 40 <= later <= 10.5 * 41
    assert 9.0 <= (flow.snapshot(106.0).rpm or 0.0) / 60 <= 11.0


def test_a_pace_that_is_not_used_does_not_grow_without_bounds() -> None:
    """After half an hour with hardly a call no storm may follow: never above a quarter more than was found or used."""
    flow, _ = throttled_at(10.0)
    for second in range(100, 1_900, 10):
        call(flow, Kind.ANSWERED, float(second))
    assert (flow.snapshot(1_900.0).rpm or 0.0) <= 1.25 * 600


def test_a_provider_that_says_slow_down_gets_half_and_then_little_more() -> None:
    """At most half as much again in a quarter of an hour."""
    flow, now_s = throttled_at(10.0, slow_down=True)
    assert 270 <= (flow.snapshot(now_s).rpm or 0.0) <= 330
    paced(flow, now_s, 500.0)
    assert (flow.snapshot(500.0).rpm or 0.0) <= 330 * 1.5


# Auto


def test_auto_begins_with_a_few_and_gets_to_many() -> None:
    """A provider that answers fine soon has as many in flight as the ceiling allows."""
    flow = Flow(ceiling=200)
    assert flow.limit(0.0) == 20
    assert fill(flow, 0.0) <= 20
    sent = flow.in_flight
    for turn in range(1, 100):
        for _ in range(sent):
            end(flow, Kind.ANSWERED, (turn - 1) / 10, turn / 10)
        sent = fill(flow, turn / 10)
    assert sent == 200 == flow.limit(10.0)


# Failures of the provider


def broken_down() -> Flow:
    """A flow whose last calls all failed."""
    flow = Flow(concurrency=50)
    for part in range(20):
        call(flow, Kind.OVERLOADED, part / 10)
    return flow


def test_the_breaker_stops_calls_and_keeps_the_limit() -> None:
    """What was found of the provider's limits holds after an outage as before."""
    flow = broken_down()
    assert not flow.healthy(2.0)
    assert flow.snapshot(2.0).binds.startswith("breaker open, next probe in ")
    assert flow.limit(2.0) == 50
    assert cuts(flow, 2.0) == 0


def test_after_the_pause_three_probes_go_and_two_answers_let_the_others_follow() -> None:
    """The rest waits for what they come to."""
    flow = broken_down()
    now_s = 2.0 + (flow.wait_s(2.0) or 0.0)
    assert fill(flow, now_s) == 3
    assert flow.snapshot(now_s).binds == "breaker half-open, probes in flight"
    end(flow, Kind.ANSWERED, now_s, now_s + 1)
    end(flow, Kind.ANSWERED, now_s, now_s + 1)
    assert flow.healthy(now_s + 1)


@pytest.mark.parametrize("kind", [Kind.THROTTLED, Kind.UNTOLD, Kind.REFUSED])
def test_limits_and_refusals_are_no_illness(kind: Kind) -> None:
    """A provider that turns calls away is well."""
    flow = Flow(concurrency=50)
    for second in range(30):
        call(flow, kind, float(second), draw=0.0)
    assert flow.healthy(1_000.0)
    assert not flow.snapshot(1_000.0).binds.startswith("breaker")


def test_retries_in_vain_are_limited() -> None:
    """A provider that turns everything away is not asked ever more often."""
    flow = Flow(concurrency=100)
    for _ in range(10):
        assert flow.retry_wait_s(0.0) == 0.0
        flow.start(0.0, retry=True)
        flow.land(0.0, Landing(Kind.OVERLOADED, 0.0, 0.0), EVEN, retry=True)
    assert flow.retry_wait_s(0.0) == 121.0


def test_a_retry_that_never_reached_the_provider_is_free() -> None:
    """It cannot make an outage worse."""
    flow = Flow(concurrency=100)
    for _ in range(50):
        flow.start(0.0, retry=True)
        flow.land(0.0, Landing(Kind.UNSENT, 0.0, 0.0), EVEN, retry=True)
    assert flow.retry_wait_s(0.0) == 0.0


# Knowledge


def test_tokens_are_counted_where_a_limit_of_them_is_known() -> None:
    """Estimating costs time, and is not done for nothing."""
    flow = Flow()
    assert not flow.counts_tokens
    flow.learn(0.0, Announced(tpm=1_000.0))
    assert flow.counts_tokens
    assert Flow(Limits(tpm=1.0)).counts_tokens


def test_an_announced_limit_needs_no_finding() -> None:
    """The pace is right from the next call on."""
    flow = Flow(concurrency=1_000)
    flow.learn(0.0, Announced(rpm=600.0))
    assert 0.95 * 600 <= paced(flow, 0.0, 60.0) <= 600


def test_what_is_set_while_it_works_holds_at_once() -> None:
    """Concurrency and rate."""
    flow = Flow(concurrency=2)
    flow.fix_concurrency(0.0, 5)
    assert fill(flow, 0.0) == 5 == flow.limit(0.0)
    flow.fix_concurrency(1.0, 1_000)
    flow.configure(1.0, Limits(rpm=60))
    assert fill(flow, 1.0) == 1
    assert flow.snapshot(1.0).rpm == 58.2


@pytest.mark.parametrize(
    ("flow", "binds"),
    [
        (Flow(concurrency=3), "concurrency 3"),
        (Flow(Limits(rpm=60), 3), "rate 58 rpm"),
        (Flow(Limits(rpm=1), 3), "rate 1 rpm"),
    ],
)
def test_it_says_what_binds(flow: Flow, binds: str) -> None:
    """In words for a person."""
    assert flow.snapshot(0.0).binds == "nothing"
    fill(flow, 0.0)
    assert flow.snapshot(0.0).binds == binds
