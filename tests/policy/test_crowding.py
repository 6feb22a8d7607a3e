"""Whether calls time out because too many are in flight."""

import pytest

from penstock.policy.crowding import Crowding

LONG_S = 1_000.0


def land(crowding: Crowding, now_s: float, *, answered: int = 0, timed_out: int = 0, sent_s: float = 0.0) -> bool:
    """So many calls end; whether any of them was one too many."""
    for _ in range(answered):
        crowding.land(now_s, sent_s, timed_out=False)
    too_many = False
    for _ in range(timed_out):
        too_many |= crowding.land(now_s, sent_s, timed_out=True)
    return too_many


@pytest.mark.parametrize(
    ("answered", "timed_out", "crowded"),
    [(0, 2, False), (0, 3, True), (97, 3, True), (147, 3, False), (146, 3, True), (980, 20, False), (978, 21, True)],
)
def test_more_than_two_in_a_hundred_are_too_many(answered: int, timed_out: int, crowded: bool) -> None:
    """And at least three: one or two calls may hang for reasons of their own."""
    assert land(Crowding(), 0.0, answered=answered, timed_out=timed_out) is crowded


def test_only_the_last_minute_counts() -> None:
    """What timed out two minutes ago says nothing of now."""
    crowding = Crowding()
    assert not land(crowding, 0.0, timed_out=2)
    assert not land(crowding, 120.0, timed_out=2, sent_s=60.0)


@pytest.mark.parametrize(("mean_latency_s", "quiet_s"), [(0.1, 10.0), (30.0, 60.0)])
def test_after_the_limit_was_lowered_it_waits_until_that_shows(mean_latency_s: float, quiet_s: float) -> None:
    """Ten seconds, or twice what a call takes."""
    crowding = Crowding()
    crowding.lowered(LONG_S, mean_latency_s)
    assert not land(crowding, LONG_S + quiet_s - 1, timed_out=10, sent_s=LONG_S)
    assert land(crowding, LONG_S + quiet_s, timed_out=10, sent_s=LONG_S)


def test_calls_sent_before_the_limit_was_lowered_tell_nothing_of_it() -> None:
    """They were crowded by the limit that is gone."""
    crowding = Crowding()
    crowding.lowered(LONG_S, 1.0)
    assert not land(crowding, LONG_S + 30, timed_out=10, sent_s=LONG_S - 1)
