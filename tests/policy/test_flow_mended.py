"""What once went wrong in flow control."""

import pytest

from penstock.policy.changes import Changes
from penstock.policy.concurrency import Concurrency
from penstock.policy.flow import Flow
from penstock.policy.landing import Kind, Landing
from penstock.policy.rate import Limits


def test_a_limit_that_is_set_late_counts_what_went_before() -> None:
    """A provider that announces its limit has counted the calls that came before."""
    flow = Flow(concurrency=1_000)
    for _ in range(60):
        flow.start(0.0)
    flow.configure(1.0, Limits(rpm=60))
    assert (flow.wait_s(1.0) or 0.0) >= 59


def test_it_tells_that_fresh_work_waits() -> None:
    """When a pause is over for those that were turned away, and not yet for the others."""
    flow = Flow(concurrency=10)
    flow.start(0.0)
    flow.land(0.0, Landing(Kind.THROTTLED, 0.0, 0.0, retry_after_s=60.0), 0.0)
    assert flow.wait_s(61.0) == pytest.approx(5.0)
    assert flow.snapshot(61.0).binds == "waiting 5 s: those turned away go first"


def test_a_round_that_brought_nothing_is_no_rung() -> None:
    """Calls may all time out just after another number was set; what comes next is not compared with nothing."""
    concurrency, now_s = Concurrency(None, 100, Changes()), 0.0
    concurrency.fix(now_s, 5)
    concurrency.fix(now_s, None)
    for kind in (Kind.TIMED_OUT, Kind.ANSWERED, Kind.ANSWERED):
        sent_s, now_s = now_s, now_s + 2.0
        for in_flight in range(1, concurrency.limit + 1):
            concurrency.start(in_flight)
        for _ in range(12):
            concurrency.land(now_s, Landing(kind, sent_s, now_s), concurrency.limit)
    assert 1 <= concurrency.limit <= 100
