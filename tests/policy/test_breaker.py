"""The breaker: when it opens, how long, and how it finds back."""

from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from penstock.policy.breaker import FIRST_SHARE, LONGEST_HOLD_S, PROBES, RAMP_S, Breaker, BreakerSnapshot
from penstock.policy.changes import Changes

EVEN = 0.5
"""The draw that adds no jitter."""


def call(breaker: Breaker, now_s: float, *, failed: bool | None) -> None:
    """Send a call that ends at once."""
    breaker.start(now_s)
    breaker.land(now_s, failed, EVEN, now_s)


def probe(breaker: Breaker, now_s: float, ends: str) -> None:
    """Send so many calls one after the other."""
    for letter in ends:
        call(breaker, now_s, failed=letter == "f")


def opened(now_s: float = 0.0, changes: Changes | None = None) -> Breaker:
    """A breaker that five failures in a row have opened."""
    breaker = Breaker(changes)
    for _ in range(5):
        call(breaker, now_s, failed=True)
    return breaker


@pytest.mark.parametrize(
    ("calls", "opens"),
    [
        ("ffff", False),
        ("fffff", True),
        ("o" + "f" * 19, False),
        ("o" + "f" * 20, True),
        ("o" * 30 + "f" * 19, False),
        ("o" * 30 + "f" * 20, True),
        ("o" + ("f" * 9 + "o") * 2 + "f" * 4, False),
        ("o" + ("f" * 9 + "o") * 2 + "f" * 5, True),
        ("ffo" * 40, True),
        ("of" * 40, False),
        ("f" + "oof" * 40, False),
        ("-" * 40, False),
        ("-f-f-f-f-f", True),
    ],
)
def test_it_opens_when_failures_outweigh_answers(calls: str, opens: bool) -> None:
    """By twenty calls; where nothing else was heard five are enough. What tells nothing counts for nothing."""
    breaker = Breaker()
    for second, letter in enumerate(calls):
        call(breaker, float(second), failed={"f": True, "o": False, "-": None}[letter])
    assert (breaker.snapshot(len(calls) - 1.0).state == "open") is opens


@pytest.mark.parametrize("per_second", [10, 100, 1_000])
@pytest.mark.parametrize("share", [0.2, 0.3, 0.4])
def test_chance_does_not_open_it(share: float, per_second: int) -> None:
    """Where up to two in five fail for good, the others are worth having, however many go in a second."""
    breaker, draw = Breaker(), Random(5).random
    for number in range(100_000):
        call(breaker, number / per_second, failed=draw() < share)
        assert breaker.snapshot(number / per_second) == BreakerSnapshot("closed")


@pytest.mark.parametrize("per_second", [1, 10, 1_000])
@pytest.mark.parametrize(("share", "most"), [(1.0, 20), (0.95, 40), (0.8, 120)])
def test_an_outage_opens_it_soon(share: float, most: int, per_second: int) -> None:
    """After twenty failures, or some more where a few are still answered."""
    breaker, now_s, failed, draw = Breaker(), 0.0, 0, Random(5).random
    for _ in range(300):
        now_s += 1 / per_second
        call(breaker, now_s, failed=False)
    while not breaker.is_open(now_s):
        now_s += 1 / per_second
        call(breaker, now_s, failed=draw() < share)
        failed += 1
    assert failed <= most


@pytest.mark.parametrize("warm", [False, True])
def test_failures_that_come_sooner_than_answers_are_no_outage(warm: bool) -> None:
    """Of two hundred calls that go at once sixty fail at once, and the others take their time."""
    breaker = Breaker()
    if warm:
        call(breaker, 0.0, failed=False)
    for _ in range(200):
        breaker.start(1.0)
    for _ in range(60):
        breaker.land(1.1, True, EVEN, 1.0)
    assert not breaker.is_open(1.1)
    for _ in range(80):
        breaker.land(3.0, True, EVEN, 1.0)
    assert breaker.is_open(3.0)


def test_an_open_breaker_lets_nothing_through_until_its_pause_is_over() -> None:
    """Five seconds first, and the wait shrinks as time goes by."""
    breaker = opened()
    assert breaker.snapshot(0.0) == BreakerSnapshot("open", 5.0)
    assert breaker.wait_s(0.0) == 5.0
    assert breaker.wait_s(4.0) == 1.0
    assert breaker.wait_s(5.0) == 0.0
    assert breaker.is_open(4.9)
    assert not breaker.is_open(5.0)
    assert breaker.snapshot(5.0) == BreakerSnapshot("half-open")


@pytest.mark.parametrize("draw", [0.0, 0.5, 0.999])
def test_no_pause_is_longer_than_a_minute(draw: float) -> None:
    """Jitter and all."""
    breaker, now_s = opened(), 0.0
    for _ in range(8):
        now_s += breaker.wait_s(now_s) or 0.0
        breaker.start(now_s)
        breaker.start(now_s)
        for _ in range(2):
            breaker.land(now_s, True, draw, now_s)
        wait_s = breaker.wait_s(now_s)
        assert wait_s is not None
        assert wait_s <= LONGEST_HOLD_S


@pytest.mark.parametrize(("draw", "pause_s"), [(0.0, 4.0), (0.5, 5.0), (0.75, 5.5)])
def test_the_pause_has_a_fifth_of_jitter(draw: float, pause_s: float) -> None:
    """Many clients that failed together do not come back together."""
    breaker = Breaker()
    for _ in range(5):
        breaker.start(0.0)
        breaker.land(0.0, True, draw, 0.0)
    assert breaker.wait_s(0.0) == pytest.approx(pause_s)


def test_three_probes_go_and_the_others_wait_for_them() -> None:
    """While they are out nobody can say when; a probe that tells nothing gives its place back."""
    breaker = opened()
    for _ in range(PROBES):
        assert breaker.wait_s(5.0) == 0.0
        breaker.start(5.0)
    assert breaker.wait_s(5.0) is None
    assert breaker.is_open(5.0)
    breaker.land(6.0, None, EVEN, 5.0)
    assert breaker.wait_s(6.0) == 0.0
    assert breaker.snapshot(6.0) == BreakerSnapshot("half-open")


def test_every_failed_round_doubles_the_pause_up_to_a_minute() -> None:
    """An outage of any length is met with at most three calls a minute."""
    breaker, now_s, pauses = opened(), 0.0, []
    for _ in range(6):
        wait_s = breaker.wait_s(now_s)
        assert wait_s is not None
        pauses.append(wait_s)
        now_s += wait_s
        probe(breaker, now_s, "ff")
    assert pauses == [5.0, 10.0, 20.0, 40.0, 50.0, 50.0]


@pytest.mark.parametrize(
    ("ends", "state", "wait_s"),
    [
        ("o", "half-open", 0.0),
        ("f", "half-open", 0.0),
        ("of", "half-open", 0.0),
        ("fo", "half-open", 0.0),
        ("oo", "closed", 0.0),
        ("foo", "closed", 0.0),
        ("ff", "open", 10.0),
        ("off", "open", 5.0),
    ],
)
def test_two_probes_that_agree_decide(ends: str, state: str, wait_s: float) -> None:
    """One failure may be chance, and where one was answered the pause gets no longer."""
    breaker = opened()
    probe(breaker, 5.0, ends)
    assert breaker.snapshot(5.0).state == state
    assert breaker.wait_s(5.0) == wait_s


def test_two_probes_that_differ_do_not_wait_for_one_that_hangs() -> None:
    """One more goes instead."""
    breaker = opened()
    for _ in range(PROBES):
        breaker.start(5.0)
    breaker.land(6.0, True, EVEN, 5.0)
    assert breaker.wait_s(6.0) is None
    breaker.land(6.0, False, EVEN, 5.0)
    assert breaker.wait_s(6.0) == 0.0
    call(breaker, 7.0, failed=False)
    assert breaker.snapshot(7.0) == BreakerSnapshot("closed")


def test_answered_probes_close_it_and_the_pace_comes_back_in_steps() -> None:
    """From a quarter to all of it over twenty seconds."""
    breaker = opened()
    assert breaker.share(0.0) == 1.0
    probe(breaker, 5.0, "oo")
    assert breaker.snapshot(5.0) == BreakerSnapshot("closed")
    assert breaker.share(5.0) == FIRST_SHARE
    assert breaker.share(15.0) == pytest.approx(0.625)
    assert breaker.share(25.0) == 1.0


@pytest.mark.parametrize(("later_s", "pause_s"), [(1.0, 10.0), (RAMP_S + 1, 5.0)])
def test_who_fails_again_while_the_pace_comes_back_is_left_alone_for_longer(later_s: float, pause_s: float) -> None:
    """After that the first pause is short again."""
    breaker = opened()
    probe(breaker, 5.0, "oo")
    for _ in range(20):
        call(breaker, 5.0 + later_s, failed=True)
    assert breaker.wait_s(5.0 + later_s) == pause_s


def test_calls_sent_before_it_opened_do_not_count_again() -> None:
    """Neither while it is open, nor as a probe, nor after it has closed: thousands may be in flight."""
    breaker = opened(now_s=10.0)
    breaker.land(11.0, True, EVEN, 9.0)
    assert breaker.wait_s(11.0) == 4.0
    breaker.start(15.0)
    breaker.land(15.5, True, EVEN, 9.0)
    breaker.land(15.5, False, EVEN, 9.0)
    assert breaker.snapshot(15.5) == BreakerSnapshot("half-open")
    probe(breaker, 16.0, "oo")
    for _ in range(40):
        breaker.land(17.0, True, EVEN, 9.0)
    assert breaker.snapshot(17.0) == BreakerSnapshot("closed")


def test_a_probe_of_an_earlier_round_tells_nothing_in_a_later_one() -> None:
    """Those of them that landed first have decided that round."""
    breaker = opened()
    for _ in range(PROBES):
        breaker.start(5.0)
    breaker.land(6.0, True, EVEN, 5.0)
    breaker.land(6.0, True, EVEN, 5.0)
    breaker.start(16.0)
    breaker.start(16.0)
    breaker.land(17.0, True, EVEN, 16.0)
    breaker.land(17.0, True, EVEN, 5.0)
    assert breaker.snapshot(17.0) == BreakerSnapshot("half-open")


def test_every_round_has_all_its_probes() -> None:
    """Also while those of the round before still hang."""
    breaker = opened()
    for _ in range(PROBES):
        breaker.start(5.0)
    breaker.land(6.0, True, EVEN, 5.0)
    breaker.land(6.0, True, EVEN, 5.0)
    for _ in range(PROBES):
        assert breaker.wait_s(16.0) == 0.0
        breaker.start(16.0)
    assert breaker.wait_s(16.0) is None


def test_what_was_before_an_outage_says_nothing_after_it() -> None:
    """A closed breaker begins anew: twenty failures open it, and not one more or less."""
    breaker = opened()
    probe(breaker, 5.0, "oo")
    for second in range(20):
        assert not breaker.is_open(40.0 + second)
        call(breaker, 40.0 + second, failed=True)
    assert breaker.is_open(59.0)


def test_every_change_is_noted_with_its_reason() -> None:
    """Opening, opening again, closing."""
    changes = Changes()
    breaker = opened(changes=changes)
    probe(breaker, 5.0, "ff")
    probe(breaker, 15.0, "oo")
    assert [(change.at_s, change.old, change.new, change.why) for change in changes.last()] == [
        (0.0, 1.0, 0.0, "5 of 5 calls failed: no calls for 5 s"),
        (5.0, 0.0, 0.0, "the probes failed too: no calls for 10 s"),
        (15.0, 0.0, 0.25, "probes were answered: all in 20 s"),
    ]


class BreakerInAnyWeather(RuleBasedStateMachine):
    """Calls are sent only when the breaker allows it, and end in any order and in any way."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker()
        self.now_s = 100.0
        self.in_flight: list[float] = []

    @rule(seconds=st.floats(0.0, 30.0))
    def wait(self, seconds: float) -> None:
        """Time goes by."""
        self.now_s += seconds

    @rule(most=st.integers(1, 8))
    def send(self, most: int) -> None:
        """Calls go, as many as may."""
        for _ in range(most):
            if self.breaker.wait_s(self.now_s) == 0.0:
                self.breaker.start(self.now_s)
                self.in_flight.append(self.now_s)

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data(), failed=st.sampled_from([True, True, False, None]), draw=st.floats(0, 1, exclude_max=True))
    def land(self, data: st.DataObject, failed: bool | None, draw: float) -> None:
        """Any call in flight ends; an open breaker is not moved by it."""
        sent_s = self.in_flight.pop(data.draw(st.integers(0, len(self.in_flight) - 1)))
        before = self.breaker.snapshot(self.now_s)
        was_waiting = before.state == "open"
        self.breaker.land(self.now_s, failed, draw, sent_s)
        if was_waiting or failed is None:
            assert self.breaker.snapshot(self.now_s) == before

    @invariant()
    def nobody_waits_for_ever(self) -> None:
        """Either a time is named, no longer than the longest pause, or a probe is in flight that will land."""
        wait_s = self.breaker.wait_s(self.now_s)
        if wait_s is None:
            assert self.breaker.snapshot(self.now_s).state == "half-open"
            assert self.in_flight
        else:
            assert 0.0 <= wait_s <= LONGEST_HOLD_S

    @invariant()
    def the_pace_is_a_share(self) -> None:
        """Never nothing, never more than all."""
        assert FIRST_SHARE <= self.breaker.share(self.now_s) <= 1.0


TestBreakerInAnyWeather = BreakerInAnyWeather.TestCase
TestBreakerInAnyWeather.settings = settings(max_examples=50, deadline=None)
