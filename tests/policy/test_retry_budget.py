"""The retry budget: retries in vain stay a small part of everything."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from penstock.policy.retry_budget import FLOOR, SHARE, WINDOW_S, RetryBudget, RetryBudgetSnapshot


def send(budget: RetryBudget, now_s: float, *, calls: int = 0, retries: int = 0) -> None:
    """Send so many, all of which stay in flight."""
    for _ in range(calls):
        budget.start(now_s, retry=False)
    for _ in range(retries):
        budget.start(now_s, retry=True)


def test_a_few_retries_may_always_go() -> None:
    """A run of one task can retry it."""
    budget = RetryBudget()
    send(budget, 0.0, retries=FLOOR - 1)
    assert budget.wait_s(0.0) == 0.0
    send(budget, 0.0, retries=1)
    assert budget.wait_s(0.0) is None


def test_a_fifth_of_the_calls_may_be_retries() -> None:
    """They count when they are sent, before anything is known of them."""
    budget = RetryBudget()
    send(budget, 0.0, calls=100, retries=29)
    assert budget.snapshot(0.0) == RetryBudgetSnapshot(allowed=30, in_vain=0, in_flight=29)
    assert budget.wait_s(0.0) == 0.0
    send(budget, 0.0, retries=1)
    assert budget.wait_s(0.0) is None


def test_an_answered_retry_is_given_back() -> None:
    """It was not in vain, and the task that it served counts like any other."""
    budget = RetryBudget()
    send(budget, 0.0, retries=FLOOR)
    for _ in range(FLOOR):
        budget.land(1.0, retry=True, in_vain=False)
    assert budget.snapshot(1.0) == RetryBudgetSnapshot(allowed=12, in_vain=0, in_flight=0)


def test_a_retry_that_was_never_sent_counts_for_nothing() -> None:
    """Refused connections neither use the budget nor fill it."""
    budget = RetryBudget()
    for _ in range(1_000):
        send(budget, 0.0, retries=1)
        budget.land(0.0, retry=True, in_vain=None)
    assert budget.snapshot(0.0) == RetryBudgetSnapshot(allowed=FLOOR, in_vain=0, in_flight=0)


def test_a_retry_in_vain_counts_for_two_minutes() -> None:
    """Nobody asks before one is forgotten, nor waits any longer."""
    budget = RetryBudget()
    send(budget, 0.5, retries=FLOOR)
    for _ in range(FLOOR):
        budget.land(0.5, retry=True, in_vain=True)
    assert budget.wait_s(1.0) == WINDOW_S
    assert budget.wait_s(WINDOW_S - 1.0) == 2.0
    assert budget.wait_s(WINDOW_S + 0.9) == pytest.approx(0.1)
    assert budget.wait_s(WINDOW_S + 1.0) == 0.0


def test_first_calls_are_forgotten_too() -> None:
    """What was sent long ago allows no retry today."""
    budget = RetryBudget()
    send(budget, 0.0, calls=1_000)
    for _ in range(1_000):
        budget.land(1.0, retry=False, in_vain=False)
    assert budget.snapshot(60.0).allowed == 210
    assert budget.snapshot(200.0).allowed == FLOOR


def test_a_heap_of_retries_gets_going_by_its_answers() -> None:
    """After an outage with nothing fresh left, every round of answers allows a fifth more in flight."""
    budget, rounds, answered = RetryBudget(), 0, 0
    while answered < 1_000:
        sent = 0
        while budget.wait_s(float(rounds)) == 0.0:
            send(budget, float(rounds), retries=1)
            sent += 1
        for _ in range(sent):
            budget.land(float(rounds), retry=True, in_vain=False)
        answered += sent
        rounds += 1
    assert rounds <= 20


class RetriesInAnyWeather(RuleBasedStateMachine):
    """Calls and retries go when they may; the test keeps every one of them, the budget only sums."""

    def __init__(self) -> None:
        super().__init__()
        self.budget = RetryBudget()
        self.now_s = 1_000.0
        self.useful_s: list[float] = []
        self.in_vain_s: list[float] = []
        self.in_flight_s: list[float] = []

    @rule(seconds=st.floats(0.0, 50.0))
    def wait(self, seconds: float) -> None:
        """Time goes by."""
        self.now_s += seconds

    @rule(calls=st.integers(1, 60))
    def send_calls(self, calls: int) -> None:
        """First calls always go."""
        send(self.budget, self.now_s, calls=calls)
        self.useful_s += [self.now_s] * calls

    @rule(retries=st.integers(1, 30))
    def send_retries(self, retries: int) -> None:
        """Retries go as long as they may, and then no more than a fifth can turn out to be in vain."""
        for _ in range(retries):
            if self.budget.wait_s(self.now_s) == 0.0:
                send(self.budget, self.now_s, retries=1)
                self.in_flight_s.append(self.now_s)
                assert self.may_be_in_vain() <= FLOOR + SHARE * self.since(self.useful_s, WINDOW_S + 1)

    @precondition(lambda self: self.in_flight_s)
    @rule(in_vain=st.sampled_from([True, True, False, None]), most=st.integers(1, 20))
    def land(self, in_vain: bool | None, most: int) -> None:
        """The oldest retries end."""
        for sent_s in self.in_flight_s[:most]:
            self.budget.land(self.now_s, retry=True, in_vain=in_vain)
            if in_vain:
                self.in_vain_s.append(sent_s)
            elif in_vain is not None:
                self.useful_s.append(self.now_s)
        del self.in_flight_s[:most]

    def may_be_in_vain(self) -> int:
        """Retries of the last two minutes that were in vain, or may yet be."""
        return self.since(self.in_vain_s, WINDOW_S) + len(self.in_flight_s)

    def since(self, moments_s: list[float], seconds: float) -> int:
        """How many of them lie no further back."""
        return sum(moment_s >= self.now_s - seconds for moment_s in moments_s)

    @invariant()
    def the_sums_are_right(self) -> None:
        """Nothing is forgotten too soon, and nobody is sent away for longer than that takes, or for ever."""
        snapshot = self.budget.snapshot(self.now_s)
        assert snapshot.in_flight == len(self.in_flight_s)
        assert self.since(self.in_vain_s, WINDOW_S) <= snapshot.in_vain <= len(self.in_vain_s)
        wait_s = self.budget.wait_s(self.now_s)
        assert self.in_flight_s if wait_s is None else 0.0 <= wait_s <= WINDOW_S + 1


TestRetriesInAnyWeather = RetriesInAnyWeather.TestCase
TestRetriesInAnyWeather.settings = settings(max_examples=50, deadline=None)
