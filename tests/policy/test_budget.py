"""The budget: nothing is spent that was not there."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from penstock.policy.budget import Budget, BudgetSnapshot

BILLIONTHS = st.integers(0, 3 * 10**9)


def money(billionths: int) -> float:
    """An amount, as callers have it."""
    return billionths / 10**9


def test_ten_times_a_tenth_is_one() -> None:
    """Sums are exact where those of floating-point numbers are not."""
    budget = Budget(1.0)
    assert [budget.reserve(0.1) for _ in range(11)] == [True] * 10 + [False]
    assert budget.snapshot() == BudgetSnapshot(limit=1.0, spent=0.0, reserved=1.0, unknown=0.0, left=0.0)


def test_a_call_costs_what_it_cost() -> None:
    """The rest of what was reserved is free again."""
    budget = Budget(1.0)
    assert budget.reserve(0.75)
    assert not budget.reserve(0.5)
    assert budget.settle(0.75, 0.25) == 0.0
    assert budget.snapshot() == BudgetSnapshot(limit=1.0, spent=0.25, reserved=0.0, unknown=0.0, left=0.75)
    assert budget.reserve(0.5)


def test_a_call_of_which_nothing_is_known_counts_in_full() -> None:
    """It may have been billed."""
    budget = Budget(1.0)
    assert budget.reserve(0.75)
    budget.unknown(0.75)
    assert budget.snapshot() == BudgetSnapshot(limit=1.0, spent=0.0, reserved=0.0, unknown=0.75, left=0.25)


def test_a_call_that_was_not_sent_costs_nothing() -> None:
    """All of its reservation is free again."""
    budget = Budget(1.0)
    assert budget.reserve(0.75)
    budget.release(0.75)
    assert budget.snapshot().left == 1.0


def test_a_call_may_cost_more_than_was_reserved() -> None:
    """The provider has charged it: it is booked, and the caller learns by how much the estimate was wrong."""
    budget = Budget(1.0)
    assert budget.reserve(0.5)
    assert budget.settle(0.5, 1.25) == 0.75
    assert budget.snapshot() == BudgetSnapshot(limit=1.0, spent=1.25, reserved=0.0, unknown=0.0, left=0.0)
    assert not budget.reserve(0.000_000_001)


def test_a_resumed_run_goes_on_with_what_it_has_spent() -> None:
    """What an earlier process spent, or may have, counts against the same limit."""
    budget = Budget(1.0, spent=0.5, unknown=0.25)
    assert not budget.reserve(0.5)
    assert budget.reserve(0.25)


def test_without_a_limit_everything_is_counted_and_nothing_refused() -> None:
    """A limit that is set later finds the sums as they are."""
    budget = Budget(None)
    assert budget.reserve(1_000.0)
    assert budget.snapshot() == BudgetSnapshot(limit=None, spent=0.0, reserved=1_000.0, unknown=0.0, left=None)
    budget.change_limit(1_001.0)
    assert budget.reserve(1.0)
    assert not budget.reserve(1.0)


def test_a_limit_below_what_is_taken_stops_new_calls_only() -> None:
    """What is in flight may land; a higher limit lets calls go again."""
    budget = Budget(1.0)
    assert budget.reserve(0.75)
    budget.change_limit(0.5)
    assert budget.snapshot().left == 0.0
    assert not budget.reserve(0.0)
    budget.change_limit(2.0)
    assert budget.reserve(1.25)


def test_nothing_that_costs_is_free() -> None:
    """However little a call costs, not endlessly many go."""
    budget = Budget(0.000_000_002)
    assert [budget.reserve(1e-15) for _ in range(3)] == [True, True, False]


def test_a_call_without_a_bound_is_never_reserved() -> None:
    """Without a limit neither, since it could not be booked."""
    assert not Budget(1.0).reserve(float("inf"))
    assert not Budget(None).reserve(float("inf"))


@pytest.mark.parametrize("amount", [-1.0, float("nan")])
def test_what_is_no_amount_is_refused_aloud(amount: float) -> None:
    """It would spoil every sum after it."""
    budget = Budget(1.0)
    with pytest.raises(ValueError, match="no amount of money"):
        budget.reserve(amount)


def test_more_than_was_reserved_cannot_be_given_back() -> None:
    """A reservation that is ended twice would let a run overspend."""
    budget = Budget(1.0)
    assert budget.reserve(0.5)
    budget.release(0.5)
    with pytest.raises(ValueError, match="than was reserved"):
        budget.release(0.5)


@settings(deadline=None)
@given(st.lists(st.floats(0.0, 100.0), max_size=30))
def test_every_reservation_can_be_given_back(amounts: list[float]) -> None:
    """Whatever the amounts, in floating-point numbers of any kind, nothing is left over."""
    budget = Budget(None)
    for amount in amounts:
        assert budget.reserve(amount)
    for amount in amounts:
        budget.release(amount)
    assert budget.snapshot().reserved == 0.0


class MoneyInAnyOrder(RuleBasedStateMachine):
    """Calls reserve, land, vanish and cost in any order; the test keeps a book of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.limit = 10 * 10**9
        self.budget = Budget(money(self.limit))
        self.reserved: list[int] = []
        self.spent = 0
        self.lost = 0

    @rule(amount=BILLIONTHS)
    def reserve(self, amount: int) -> None:
        """It is refused exactly when it would pass the limit."""
        fits = self.spent + self.lost + sum(self.reserved) + amount <= self.limit
        assert self.budget.reserve(money(amount)) is fits
        if fits:
            self.reserved.append(amount)

    @precondition(lambda self: self.reserved)
    @rule(data=st.data(), per_cent=st.integers(0, 100))
    def settle(self, data: st.DataObject, per_cent: int) -> None:
        """A call costs at most what was reserved for it."""
        amount = self.end_of_one(data)
        assert self.budget.settle(money(amount), money(amount * per_cent // 100)) == 0.0
        self.spent += amount * per_cent // 100

    @precondition(lambda self: self.reserved)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        """Nothing is known of a call."""
        amount = self.end_of_one(data)
        self.budget.unknown(money(amount))
        self.lost += amount

    @precondition(lambda self: self.reserved)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        """A call was not sent."""
        self.budget.release(money(self.end_of_one(data)))

    @rule(more=BILLIONTHS)
    def raise_the_limit(self, more: int) -> None:
        """The user adds money."""
        self.limit += more
        self.budget.change_limit(money(self.limit))

    def end_of_one(self, data: st.DataObject) -> int:
        """The amount of some reservation that ends now."""
        return self.reserved.pop(data.draw(st.integers(0, len(self.reserved) - 1)))

    @invariant()
    def the_books_agree(self) -> None:
        """To the billionth: no reservation is lost, none is counted twice, and the limit holds."""
        taken = self.spent + self.lost + sum(self.reserved)
        assert taken <= self.limit
        assert self.budget.snapshot() == BudgetSnapshot(
            limit=money(self.limit),
            spent=money(self.spent),
            reserved=money(sum(self.reserved)),
            unknown=money(self.lost),
            left=money(self.limit - taken),
        )


TestMoneyInAnyOrder = MoneyInAnyOrder.TestCase
TestMoneyInAnyOrder.settings = settings(max_examples=50, deadline=None)
