"""Admission: places, and the shared pause."""

import pytest

from penstock.endpoints import Endpoint
from penstock.engine.gate import Gate, GateSnapshot, Lane, Wait
from penstock.redaction import Secret
from penstock.transport.fake import FunctionTransport, respond

LANE = Lane(
    Endpoint("e", "http://127.0.0.1/v1", Secret("sk-simulated-1")), FunctionTransport(lambda path, body: respond())
)


def test_exactly_the_concurrency_is_let_in() -> None:
    """The next one waits for a call to land, and a place that was given back is taken again."""
    gate = Gate(LANE, 2)
    assert [gate.admit(0.0) for _ in range(4)] == [LANE, LANE, Wait(None), Wait(None)]
    gate.release(LANE)
    assert [gate.admit(0.0), gate.admit(0.0)] == [LANE, Wait(None)]


def test_nobody_leaves_before_the_wait_has_ended() -> None:
    """Not an instant earlier; and from that instant on."""
    gate = Gate(LANE, 5)
    gate.close_until(10.0)
    assert gate.admit(9.999) == Wait(10.0)
    assert gate.admit(10.0) == LANE


def test_being_refused_takes_no_place() -> None:
    """Asking while the gate is closed, or full, holds nothing."""
    gate = Gate(LANE, 1)
    gate.close_until(10.0)
    for _ in range(5):
        gate.admit(0.0)
    assert gate.snapshot(0.0).in_flight == 0


@pytest.mark.parametrize(("first_s", "second_s"), [(10.0, 20.0), (20.0, 10.0)])
def test_the_longest_wait_holds(first_s: float, second_s: float) -> None:
    """A shorter one does not open the gate sooner, whichever was asked last."""
    gate = Gate(LANE, 1)
    gate.close_until(first_s)
    gate.close_until(second_s)
    assert gate.admit(15.0) == Wait(20.0)


def test_a_closed_gate_says_when_rather_than_that_it_is_full() -> None:
    """A call that lands before that would open nothing."""
    gate = Gate(LANE, 1)
    gate.admit(0.0)
    gate.close_until(10.0)
    assert gate.admit(5.0) == Wait(10.0)
    assert gate.admit(10.0) == Wait(None)


def test_a_snapshot_says_what_binds() -> None:
    """In words, the reason that holds calls back now."""
    gate = Gate(LANE, 1)
    assert gate.snapshot(0.0) == GateSnapshot(0, 1, "nothing")
    gate.admit(0.0)
    assert gate.snapshot(0.0) == GateSnapshot(1, 1, "concurrency 1")
    gate.close_until(12.4)
    assert gate.snapshot(0.0).binds == "waiting 12 s, as the provider asked"


def test_a_lane_knows_what_must_not_be_quoted() -> None:
    """The key that its calls carry, where they carry one."""
    assert LANE.secrets == (Secret("sk-simulated-1"),)
    assert Lane(Endpoint("e", "http://127.0.0.1/v1"), LANE.transport).secrets == ()
