"""The pacer: what goes is spread evenly."""

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.policy.pacer import BURST_S, Pacer


def went_at_once(pacer: Pacer, now_s: float, per_s: float, most: int = 1_000) -> int:
    """How many may go at one moment."""
    for count in range(most):
        if pacer.wait_s(now_s, per_s, 1.0) > 0:
            return count
        pacer.take(now_s, per_s, 1.0)
    return most


def test_a_slow_pace_lets_one_go_at_a_time() -> None:
    """The next one waits for its turn."""
    pacer = Pacer()
    assert went_at_once(pacer, 0.0, 0.5) == 1
    assert pacer.wait_s(0.5, 0.5, 1.0) == 1.5
    assert went_at_once(pacer, 2.0, 0.5) == 1


def test_a_fast_pace_lets_a_fifth_of_a_second_go_at_once() -> None:
    """However long nothing went before."""
    pacer = Pacer()
    assert went_at_once(pacer, 0.0, 100.0) == 20
    assert went_at_once(pacer, 1_000.0, 100.0) == 20


def test_what_is_larger_than_the_bucket_is_waited_for_afterwards() -> None:
    """A call of 500 tokens at 100 a second goes when the bucket is full, and then nothing for nearly five seconds."""
    pacer = Pacer()
    assert pacer.wait_s(0.0, 100.0, 500.0) == 0.0
    pacer.take(0.0, 100.0, 500.0)
    assert pacer.wait_s(0.0, 100.0, 10.0) == 4.9


def test_what_was_not_used_may_go_sooner() -> None:
    """And more than was taken makes the next wait longer."""
    pacer = Pacer()
    pacer.take(0.0, 100.0, 500.0)
    pacer.give_back(400.0)
    assert pacer.wait_s(0.0, 100.0, 10.0) == 0.9
    pacer.give_back(-100.0)
    assert pacer.wait_s(0.0, 100.0, 10.0) == 1.9


@settings(deadline=None)
@given(per_s=st.floats(0.01, 10_000.0), gaps_s=st.lists(st.floats(0.0, 5.0), max_size=50))
def test_no_stretch_of_time_takes_more_than_its_pace_and_one_bucket(per_s: float, gaps_s: list[float]) -> None:
    """Whenever one asks, and also when it comes back exactly when it was told to."""
    pacer, now_s, went = Pacer(), 0.0, 0
    for gap_s in gaps_s:
        now_s += gap_s
        if (wait_s := pacer.wait_s(now_s, per_s, 1.0)) > 0:
            now_s += wait_s
        if pacer.wait_s(now_s, per_s, 1.0) == 0.0:
            pacer.take(now_s, per_s, 1.0)
            went += 1
    assert went <= per_s * now_s + max(1.0, BURST_S * per_s) + 1e-6 * max(1.0, went)
