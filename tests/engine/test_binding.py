"""What binds a run, and what becomes of scopes when the keys are read again."""

from tests.engine.test_gate import ANSWER, ONE, TWO, Desk, pools, work

from penstock.engine.verdicts import Wait
from penstock.models import Failure, Fault


def test_the_budget_is_what_binds_while_a_call_waits_for_money() -> None:
    """And no more once there is enough again."""
    amount = Desk(pools(ONE), budget=1.0).place().amount
    desk = Desk(pools(ONE), budget=1.5 * amount)
    first = desk.place()
    assert desk.gate.snapshot(0.0).binds == "nothing"
    assert isinstance(desk.gate.admit(0.0, work()), Wait)
    assert desk.gate.snapshot(0.0).binds == f"budget {1.5 * amount:.6g} USD: {amount:.4g} spent or set aside"
    desk.land(first, ANSWER)
    desk.place(2.0)
    assert desk.gate.snapshot(2.0).binds == "nothing"


def test_a_run_waits_only_when_every_scope_of_it_does() -> None:
    """Else what binds is that of the busiest one which may send."""
    desk = Desk(pools(TWO), draws=(0.0,))
    throttled = Failure(Fault.THROTTLED, "wait", 429, retry_after_s=60.0)
    desk.land(desk.place(), throttled)
    other = desk.place(2.0)
    assert desk.gate.snapshot(2.0).binds == "nothing"
    desk.land(other, throttled, 3.0)
    assert desk.gate.snapshot(3.0).binds.startswith("waiting 58 s")


def test_a_key_that_was_removed_is_gone_and_one_that_moved_keeps_its_sums() -> None:
    """A scope is its secret's, wherever that stands; what is in flight by a key that is gone still lands."""
    desk = Desk(pools({"e": {"api_keys": ["sk-1", "sk-2"]}}))
    places = [desk.place(), desk.place()]
    assert places[0].scope is not places[1].scope
    second = next(place for place in places if place.scope.lane.key.label.endswith("2"))
    gone = next(place for place in places if place is not second)
    desk.gate.reload(pools({"e": {"api_keys": ["sk-2"]}}))
    (left,) = desk.gate.scopes(1.0, 0.0)
    assert (left.key, left.in_flight) == (second.scope.lane.key.label, 1)
    assert desk.place(1.0).scope is second.scope
    desk.land(gone, ANSWER, 2.0)
    assert desk.gate.snapshot(2.0).in_flight == 2


def test_another_key_in_the_place_of_one_goes_on_with_its_limits() -> None:
    """It is mostly the same account's."""
    desk = Desk(pools({"e": {"api_keys": ["sk-1"]}}))
    scope = desk.place().scope
    desk.gate.reload(pools({"e": {"api_keys": ["sk-3"]}}))
    assert desk.place(1.0).scope is scope
    assert scope.lane.key.secret is not None
    assert scope.lane.key.secret.reveal() == "sk-3"
