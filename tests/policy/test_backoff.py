"""Waiting before the next attempt."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.policy.backoff import backoff_s


@pytest.mark.parametrize(
    ("attempt", "draw", "expected_s"),
    [(1, 0.0, 0.0), (1, 0.5, 0.25), (2, 0.5, 0.5), (3, 0.5, 1.0), (8, 0.5, 30.0), (5_000, 0.5, 30.0)],
)
def test_the_window_doubles_up_to_the_cap(attempt: int, draw: float, expected_s: float) -> None:
    """The jitter fills the whole window and stays inside the cap."""
    assert backoff_s(attempt, 0.5, 60.0, draw) == expected_s


@given(
    attempt=st.integers(1, 10_000),
    draw=st.floats(0, 1, exclude_max=True),
    asked_s=st.floats(0, 86_400),
)
def test_the_providers_wait_is_a_floor(attempt: int, draw: float, asked_s: float) -> None:
    """Never earlier than asked, and at most a tenth later unless the back-off is longer."""
    waited_s = backoff_s(attempt, 0.5, 60.0, draw, asked_s)
    assert asked_s <= waited_s <= max(60.0, asked_s * 1.1)
