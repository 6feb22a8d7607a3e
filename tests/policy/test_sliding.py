"""Sums over the last seconds: never less than the truth, and soon no more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.policy.sliding import SlidingSum

WINDOW_S, SLOTS = 60.0, 600
SLOT_S = WINDOW_S / SLOTS

steps = st.lists(st.tuples(st.floats(0.0, 90.0), st.integers(0, 50)), min_size=1, max_size=60)


@given(steps=steps, begin_s=st.floats(0.0, 1e6))
def test_the_sum_is_never_too_small_and_hardly_too_large(steps: list[tuple[float, int]], begin_s: float) -> None:
    """Each amount counts for the window, and for at most one slot longer."""
    sliding, now_s, added = SlidingSum(WINDOW_S, SLOTS), begin_s, list[tuple[float, int]]()
    for pause_s, amount in steps:
        now_s += pause_s
        sliding.add(now_s, amount)
        added.append((now_s, amount))
        exact = sum(each for at_s, each in added if at_s > now_s - WINDOW_S + 1e-6)
        late = sum(each for at_s, each in added if at_s > now_s - WINDOW_S - SLOT_S - 1e-6)
        assert exact <= sliding.total(now_s) <= late


@given(steps=steps, most=st.integers(0, 200))
def test_after_the_wait_the_sum_has_come_down(steps: list[tuple[float, int]], most: int) -> None:
    """It is named to the slot, so that nobody has to ask twice."""
    sliding, now_s = SlidingSum(WINDOW_S, SLOTS), 0.0
    for pause_s, amount in steps:
        now_s += pause_s
        sliding.add(now_s, amount)
    wait_s = sliding.wait_s(now_s, most)
    assert 0.0 <= wait_s <= WINDOW_S + 2 * SLOT_S
    assert sliding.total(now_s + wait_s + 1e-6) <= most


@pytest.mark.parametrize(("at_s", "total"), [(10.0, 3.0), (55.0, 3.0), (200.0, 0.0)])
def test_an_amount_can_be_corrected_as_long_as_it_counts(at_s: float, total: float) -> None:
    """Where it is forgotten there is nothing to correct."""
    sliding = SlidingSum(WINDOW_S, SLOTS)
    sliding.add(0.0, 10.0)
    sliding.total(at_s)
    sliding.add(0.0, -7.0)
    assert sliding.total(at_s) == total
