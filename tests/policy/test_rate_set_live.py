"""Limits that are set while calls are in flight, and the end of a guarded ramp."""

from penstock.policy.changes import Changes
from penstock.policy.landing import Kind, Landing
from penstock.policy.pace import BACK_S, GUARD_ENDS_S, Pace
from penstock.policy.rate import Limits, Rate


def test_calls_from_before_a_limit_give_nothing_back() -> None:
    """Their tokens were never taken from it, and would let others go beyond it."""
    rate = Rate(Limits(), False, Changes())
    rate.start(0.0, 5_000, 1.0)
    rate.configure(1.0, Limits(tpm=1_000))
    rate.start(2.0, 1_000, 1.0)
    rate.settle(Landing(Kind.ANSWERED, 0.0, 3.0, reserved_tokens=5_000, tokens=10))
    assert rate.wait_s(3.0, 1_000, 1.0) > 50


def test_after_slow_down_the_old_pace_is_reached_and_then_more_is_tried() -> None:
    """Not before it has grown back by half each quarter of an hour."""
    pace = Pace(False, Changes())
    for part in range(600):
        pace.start(part / 10)
        pace.answered(0.0)
    pace.start(60.0)
    pace.throttled(60.1, 60.0, 1.0, slow_down=True)
    half_per_s = pace.per_s(60.1)
    old_per_s = pace.per_s(60.1 + GUARD_ENDS_S)
    assert round(old_per_s / half_per_s, 3) == 2
    assert pace.per_s(60.1 + 900.0) / half_per_s < 1.501
    now_s = 60.1 + GUARD_ENDS_S + 2 * BACK_S
    for part in range(200):
        pace.start(now_s + part / 20)
    assert pace.per_s(now_s + 10.0) > old_per_s
