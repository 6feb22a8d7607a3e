"""The number of calls that this machine has open files for."""

from penstock.policy.flow import Flow
from penstock.policy.landing import Kind, Landing
from penstock.policy.room import MORE_AFTER_S


def refuse(flow: Flow, calls: int, now_s: float) -> None:
    """So many are sent at once, and the machine has no file for the last of them."""
    for _ in range(calls):
        flow.start(now_s)
    flow.land(now_s, Landing(Kind.NO_ROOM, now_s, now_s), 0.5)


def test_fewer_may_fly_once_for_all_that_were_refused_together() -> None:
    """Even where the user fixed their number, and with the reason in the history; the provider is not blamed."""
    flow = Flow(concurrency=100)
    refuse(flow, 100, 1.0)
    for _ in range(30):
        flow.land(1.1, Landing(Kind.NO_ROOM, 0.9, 1.1), 0.5)
    assert flow.limit(1.1) == 90
    assert flow.healthy(1.1)
    assert "ulimit -n" in flow.snapshot(1.1).changes[-1].why


def test_after_a_minute_a_tenth_more_is_tried_up_to_what_was_wanted() -> None:
    """The files may have been another program's."""
    flow, now_s = Flow(concurrency=50), 1.0
    refuse(flow, 50, now_s)
    seen = [flow.limit(now_s)]
    for _ in range(4):
        now_s += MORE_AFTER_S
        flow.land(now_s, Landing(Kind.ANSWERED, now_s - 1, now_s), 0.5)
        seen.append(flow.limit(now_s))
    assert seen == [45, 49, 50, 50, 50]


def test_one_call_may_always_fly() -> None:
    """Or nothing would ever be tried again."""
    flow = Flow(concurrency=2)
    for second in range(1, 9):
        flow.start(float(second))
        flow.land(float(second), Landing(Kind.NO_ROOM, float(second), float(second)), 0.5)
    assert flow.limit(9.0) == 1
