"""What a flow lets go now, later or never, and the words in which it says so."""

import math
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.policy.announced import Announced
from penstock.policy.flow import Flow
from penstock.policy.landing import Kind, Landing
from penstock.policy.rate import Limits

EVEN = 0.5
CEILING = 60


def throttled(*, wait_s: float | None = None, draw: float = EVEN, concurrency: int | None = 10) -> Flow:
    """A flow whose first call was turned away at once."""
    flow = Flow(concurrency=concurrency)
    flow.start(0.0)
    flow.land(0.0, Landing(Kind.THROTTLED, 0.0, 0.0, retry_after_s=wait_s), draw)
    return flow


def answer(flow: Flow, sent_s: float, now_s: float, calls: int = 1) -> None:
    """So many calls that were sent before are answered."""
    for _ in range(calls):
        flow.land(now_s, Landing(Kind.ANSWERED, sent_s, now_s), EVEN)


def fill(flow: Flow, now_s: float) -> int:
    """Send as many as may go at one moment."""
    sent = 0
    while flow.wait_s(now_s) == 0.0:
        flow.start(now_s)
        sent += 1
    return sent


def work(flow: Flow, now_s: float, until_s: float, latency_s: float = 1.0) -> None:
    """Keep the flow busy for a while: each call is answered, and the next asks again when it was told to."""
    sent_s: deque[float] = deque()
    while now_s < until_s:
        if (wait_s := flow.wait_s(now_s)) == 0.0:
            flow.start(now_s)
            sent_s.append(now_s)
            continue
        lands_s = sent_s[0] + latency_s if sent_s else math.inf
        now_s = min(lands_s, math.inf if wait_s is None else now_s + wait_s)
        if now_s == lands_s:
            answer(flow, sent_s.popleft(), now_s)


# Pauses


def test_fresh_work_waits_for_those_that_were_turned_away() -> None:
    """Retries go first when the time is over; fresh work when all of them may be back."""
    flow = throttled(wait_s=60.0, draw=0.0)
    assert flow.wait_s(0.0, retry=True) == 60.0
    assert flow.wait_s(0.0) == pytest.approx(66.0)
    assert flow.wait_s(60.0, retry=True) == 0.0
    assert flow.wait_s(60.0) == pytest.approx(6.0)
    assert flow.wait_s(66.1) == 0.0


def test_a_pause_that_is_over_is_none() -> None:
    """The moment of its end is no part of it."""
    flow = throttled(wait_s=60.0, draw=0.0)
    assert (flow.paused_until_s(59.9), flow.healthy(59.9)) == (60.0, False)
    assert (flow.paused_until_s(60.0), flow.healthy(60.0)) == (0.0, True)


@pytest.mark.parametrize(("draw", "wait_s"), [(0.0, 0.0), (0.25, 0.25), (0.75, 0.75)])
def test_a_429_without_a_hint_is_anything_up_to_a_second(draw: float, wait_s: float) -> None:
    """The same for fresh work and retries, since nobody named a time."""
    flow = throttled(draw=draw)
    assert flow.paused_until_s(0.0) == wait_s
    for retry in (False, True):
        assert (flow.wait_s(0.0, retry=retry) or 0.0) >= wait_s


def test_the_end_of_a_pause_is_not_the_end_of_other_limits() -> None:
    """They are asked one after the other, and each may hold a call back."""
    flow = Flow(Limits(rpm=1), 1)
    flow.start(0.0)
    assert flow.wait_s(0.0) is None
    flow.land(1.0, Landing(Kind.THROTTLED, 0.0, 1.0, retry_after_s=10.0), 0.0)
    assert flow.wait_s(1.0, retry=True) == 10.0
    assert (flow.wait_s(11.0, retry=True) or 0.0) >= 49.0


# A number that is fixed


def test_a_fixed_number_is_never_held_back_before_a_429() -> None:
    """However fast calls come back, all of them go again at once."""
    flow, now_s = Flow(concurrency=200), 0.0
    for _ in range(50):
        assert fill(flow, now_s) == 200
        answer(flow, now_s, now_s + 0.01, 200)
        now_s += 0.01


def test_a_429_begins_a_pace_for_a_fixed_number_too() -> None:
    """What the provider turns away is not sent again as fast."""
    flow, now_s = Flow(concurrency=200), 0.0
    for _ in range(200):
        fill(flow, now_s)
        answer(flow, now_s, now_s + 1.0, flow.in_flight)
        now_s += 1.0
        if now_s == 5.0:
            flow.start(now_s)
            flow.land(now_s, Landing(Kind.THROTTLED, now_s, now_s), 0.0)
    assert fill(flow, now_s) < 200
    assert flow.limit(now_s) == 200


def test_a_lower_number_lets_calls_land_and_sends_none() -> None:
    """None is cut off for it."""
    flow = Flow(concurrency=10)
    assert fill(flow, 0.0) == 10
    flow.fix_concurrency(1.0, 4)
    answer(flow, 0.0, 2.0, 6)
    assert (flow.in_flight, flow.wait_s(2.0)) == (4, None)
    assert flow.snapshot(2.0).binds == "concurrency 4"
    answer(flow, 0.0, 2.0)
    assert flow.wait_s(2.0) == 0.0


def test_auto_can_be_chosen_while_it_works() -> None:
    """It goes on from the number that was fixed, and finds its own."""
    flow = Flow(concurrency=5, ceiling=CEILING)
    flow.fix_concurrency(0.0, None)
    assert flow.limit(0.0) == 5
    work(flow, 0.0, 60.0)
    assert 0.9 * CEILING <= flow.limit(60.0) <= CEILING


# Limits


def test_limits_can_be_given_up_while_it_works() -> None:
    """From then on nothing holds back but the number."""
    flow = Flow(Limits(rpm=1, tpm=10), 50)
    assert fill(flow, 0.0) == 1
    flow.configure(1.0, Limits())
    assert fill(flow, 1.0) == 49
    assert not flow.counts_tokens


def test_a_call_that_needs_more_than_a_minute_allows_never_goes() -> None:
    """By the user's limit; an announced one may mean something else, so there it goes when nothing else is counted."""
    flow = Flow(Limits(tpm=1_000), 50)
    assert flow.wait_s(0.0, 1_001) == math.inf
    assert flow.wait_s(0.0, 1_000) == 0.0
    flow.configure(0.0, Limits())
    flow.learn(0.0, Announced(tpm=1_000.0))
    flow.start(0.0, 1)
    wait_s = flow.wait_s(0.0, 1_001)
    assert wait_s is not None
    assert 60 <= wait_s <= 61
    assert flow.wait_s(61.0, 1_001) == 0.0


def test_tokens_are_spread_over_the_minute() -> None:
    """What a call took is waited for before the next one, and not at the end of the minute."""
    flow = Flow(Limits(tpm=6_000), 50)
    flow.start(0.0, 1_000)
    wait_s = flow.wait_s(0.0, 1_000)
    assert wait_s is not None
    assert 9 <= wait_s <= 11


def test_a_larger_limit_lets_a_large_call_go() -> None:
    """Never is only for as long as the limit is what it is."""
    flow = Flow(Limits(tpm=1_000), 50)
    flow.configure(0.0, Limits(tpm=2_000))
    assert flow.wait_s(0.0, 1_500) == 0.0


def test_tokens_of_an_answer_take_the_place_of_the_estimate() -> None:
    """A high estimate is given back, and stays where nothing is told of what was used."""
    flow = Flow(Limits(tpm=1_000), 50)
    flow.start(0.0, 900)
    flow.land(2.0, Landing(Kind.ANSWERED, 0.0, 2.0, 900, 100), EVEN)
    assert (flow.wait_s(10.0, 900) or 0.0) == 0.0
    flow.start(10.0, 900)
    flow.land(12.0, Landing(Kind.UNTOLD, 10.0, 12.0, 900), EVEN)
    assert (flow.wait_s(20.0, 900) or 0.0) > 30


# Retries


def test_who_waits_for_the_retry_budget_is_told_when_to_ask_again() -> None:
    """When one of those in flight lands, or else when the first failure is forgotten, after two minutes."""
    flow = Flow(concurrency=50)
    for _ in range(10):
        flow.start(0.0, retry=True)
    assert flow.retry_wait_s(0.0) is None
    for _ in range(10):
        flow.land(0.0, Landing(Kind.THROTTLED, 0.0, 0.0), 0.0, retry=True)
    assert flow.retry_wait_s(0.0) == 121.0
    assert flow.retry_wait_s(121.0) == 0.0


@pytest.mark.parametrize("kind", [Kind.ANSWERED, Kind.REFUSED, Kind.UNSENT, Kind.UNTOLD])
def test_retries_that_served_or_never_left_cost_nothing(kind: Kind) -> None:
    """However many."""
    flow = Flow(concurrency=50)
    for _ in range(40):
        flow.start(0.0, retry=True)
        flow.land(0.0, Landing(kind, 0.0, 0.0), EVEN, retry=True)
    assert flow.retry_wait_s(0.0) == 0.0


# Words


def test_a_flow_that_has_done_nothing_tells_so() -> None:
    """No limits, no pause, no changes."""
    flow = Flow()
    told = flow.snapshot(0.0)
    assert (told.limit, told.in_flight, told.binds, told.tpm) == (20, 0, "nothing", None)
    assert (told.paused_until_s, told.changes) == (0.0, ())
    assert Flow(concurrency=5).snapshot(0.0).rpm is None


@pytest.mark.parametrize(
    ("wait_s", "binds"),
    [(30.0, "waiting 30 s: the provider asked to"), (None, "waiting 1 s: the provider answered 429")],
)
def test_it_tells_why_it_waits(wait_s: float | None, binds: str) -> None:
    """Whether the provider named the time, or it is a guess."""
    flow = throttled(wait_s=wait_s, draw=0.0 if wait_s else 0.9)
    assert flow.snapshot(0.0).binds == binds


@pytest.mark.parametrize("rpm", [None, 6_000])
def test_it_tells_that_tokens_bind(rpm: float | None) -> None:
    """Also while requests would not, or have no limit."""
    flow = Flow(Limits(rpm, 1_000), 50)
    flow.start(0.0, 900)
    told = flow.snapshot(0.1)
    assert (told.binds, told.tpm, told.in_flight) == ("rate 970 tpm", 1_000, 1)


def test_a_pause_is_named_before_all_else() -> None:
    """Lifting another limit would not help."""
    flow = Flow(Limits(rpm=1), 1)
    flow.start(0.0)
    flow.land(0.0, Landing(Kind.OVERLOADED, 0.0, 0.0, retry_after_s=30.0), 0.0)
    assert flow.snapshot(0.0).binds == "waiting 30 s: the provider asked to"
    assert flow.snapshot(34.0).binds == "rate 1 rpm"


def test_changes_are_told_with_their_reasons() -> None:
    """What was set, and what was found."""
    flow = throttled(draw=0.0, concurrency=7)
    flow.fix_concurrency(1.0, 9)
    flow.configure(2.0, Limits(rpm=60))
    told = [(change.at_s, change.what, change.why) for change in flow.snapshot(3.0).changes]
    assert told == [
        (0.0, "pace in rpm", "the provider answered 429"),
        (1.0, "concurrency", "set by the user"),
        (2.0, "rpm", "set by the user"),
    ]


# Whatever happens


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["send", "send", "send", "land", "land", "fix", "auto", "rpm", "tpm", "free", "announce"]),
        st.one_of(st.just(0.0), st.floats(0.0, 3.0), st.sampled_from([30.0, 600.0, 1e6])),
        st.sampled_from(list(Kind)),
        st.integers(1, 30),
    ),
    max_size=60,
)


def change(flow: Flow, now_s: float, step: str, number: int) -> None:
    """Somebody sets another limit, or the provider announces one."""
    match step:
        case "fix":
            flow.fix_concurrency(now_s, number)
        case "auto":
            flow.fix_concurrency(now_s, None)
        case "rpm":
            flow.configure(now_s, Limits(rpm=number))
        case "tpm":
            flow.configure(now_s, Limits(tpm=100 * number))
        case "free":
            flow.configure(now_s, Limits())
        case _:
            flow.learn(now_s, Announced(rpm=float(number), tpm=1_000.0 * number))


def send(flow: Flow, in_flight: list[float], now_s: float, number: int) -> None:
    """So many calls leave, as far as they may."""
    for _ in range(number):
        if flow.wait_s(now_s, 10) == 0.0:
            flow.start(now_s, 10)
            in_flight.append(now_s)


def land(flow: Flow, in_flight: list[float], now_s: float, kind: Kind, number: int) -> None:
    """The oldest so many calls end; every third number brings a wait with it."""
    wait_s = None if number % 3 else float(number)
    for sent_s in in_flight[:number]:
        flow.land(now_s, Landing(kind, sent_s, now_s, 10, number, number, wait_s, slow_down=number == 3), number / 31)
    del in_flight[:number]


@settings(max_examples=80, deadline=None)
@given(concurrency=st.one_of(st.none(), st.integers(1, 30)), steps=STEPS)
def test_whatever_happens_a_flow_goes_on(concurrency: int | None, steps: list[tuple[str, float, Kind, int]]) -> None:
    """Counts are right, every wait is one that ends, and who waits as long as told may go in the end."""
    flow, in_flight, now_s = Flow(concurrency=concurrency, ceiling=CEILING), list[float](), 0.0
    for step, gap_s, kind, number in steps:
        now_s += gap_s
        if step == "send":
            send(flow, in_flight, now_s, number)
        elif step == "land":
            land(flow, in_flight, now_s, kind, number)
        else:
            change(flow, now_s, step, number)
        told = flow.snapshot(now_s)
        assert flow.in_flight == told.in_flight == len(in_flight)
        assert 1 <= flow.limit(now_s) == told.limit <= CEILING
        assert told.binds
        assert told.paused_until_s <= now_s or told.binds.startswith("waiting ")
    for sent_s in in_flight:
        answer(flow, sent_s, now_s)
    for _ in range(1_000):
        wait_s = flow.wait_s(now_s, 10)
        assert wait_s is not None
        assert 0 <= wait_s <= 3_600
        if not wait_s:
            break
        now_s += wait_s
    assert flow.wait_s(now_s, 10) == 0.0
