"""Deadlines after time-outs."""

import pytest

from penstock.policy.deadline import deadline_s


@pytest.mark.parametrize(
    ("timeouts", "expected_s"), [(0, 600.0), (1, 1_200.0), (2, 2_400.0), (3, 2_400.0), (5_000, 2_400.0)]
)
def test_each_timeout_doubles_the_deadline_up_to_four_times(timeouts: int, expected_s: float) -> None:
    """A retry gets longer than the attempt that ran out of time, and no retry gets for ever."""
    assert deadline_s(600.0, timeouts) == expected_s
