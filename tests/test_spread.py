"""How values spread: counted in steps, with a median."""

import statistics
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.spread import median_of, step_of


@given(st.lists(st.floats(0.01, 1e7), min_size=1, max_size=99))
def test_the_median_is_near(values: list[float]) -> None:
    """Within a step of the true one, however many there are."""
    found = median_of(Counter(map(step_of, values)))
    assert found is not None
    assert found == pytest.approx(statistics.median_low(values), rel=0.035)


@pytest.mark.parametrize(("value", "step"), [(400.0, "394"), (1.0, "1.02"), (0.05, "0.0498"), (123_456.0, "124746")])
def test_a_step_is_named_by_its_middle(value: float, step: str) -> None:
    """A number that a person can read in JSON."""
    assert step_of(value) == step


def test_nothing_has_no_median() -> None:
    """There is none where nothing was counted."""
    assert median_of({}) is None
