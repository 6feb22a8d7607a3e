"""What the history of a scope tells of its pace."""

import itertools

from penstock.policy.changes import Changes
from penstock.policy.flow import Flow
from penstock.policy.landing import Kind, Landing
from penstock.policy.pace import Pace


def live(pace: Pace, from_s: float, until_s: float) -> None:
    """Use all of the pace, and be let in."""
    now_s = from_s
    while now_s < until_s:
        pace.start(now_s)
        pace.answered(now_s)
        now_s += 1 / pace.per_s(now_s)


def test_every_step_of_a_ramp_is_told() -> None:
    """Each entry goes on from the one before, at twice that or more."""
    changes = Changes()
    live(Pace(True, changes), 0.0, 3.0)
    told = [(change.old, change.new) for change in changes.last()]
    assert len(told) >= 2
    assert told[0][0] == 1_200.0
    for (_, before), (old, new) in itertools.pairwise(told):
        assert old == before
        assert old is not None
        assert new is not None
        assert new >= 2 * old
    assert {change.why for change in changes.last()} == {"all of it was used and none was turned away"}


def test_a_pace_that_grows_again_after_a_cut_is_told() -> None:
    """The way to the real limit after an opening burst."""
    changes = Changes()
    pace = Pace(True, changes)
    live(pace, 0.0, 1.0)
    pace.start(1.0)
    pace.throttled(1.0, 1.0, 0.0, slow_down=False)
    live(pace, 1.5, 40.0)
    cut = next(change for change in changes.last() if change.why == "the provider answered 429")
    later = [change for change in changes.last() if change.at_s > cut.at_s]
    assert later
    assert later[0].old == cut.new
    assert later[0].why == "growing again: none was turned away since the cut"
    assert len(changes.last()) < 50


def test_the_first_cut_says_what_the_pace_was() -> None:
    """Also where nothing held back before."""
    flow = Flow(concurrency=100)
    for tenth in range(100):
        flow.start(tenth / 10)
        flow.land(tenth / 10, Landing(Kind.ANSWERED, tenth / 10, tenth / 10), 0.5)
    flow.start(10.0)
    flow.land(10.0, Landing(Kind.THROTTLED, 10.0, 10.0), 0.5)
    cut = next(change for change in flow.snapshot(10.0).changes if change.what == "pace in rpm")
    assert cut.old is not None
    assert cut.new is not None
    assert 500 <= cut.new < cut.old <= 700
