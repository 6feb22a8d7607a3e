"""When faults happen: by script, by rate, by the clock; and the language that says so."""

from collections.abc import Callable
from typing import Any

import pytest

from penstock.clock import ManualClock
from penstock.errors import UsageError
from penstock.simulator import (
    FaultRate,
    InjectedFault,
    SimulatorSettings,
    parse_fault,
    parse_fault_rate,
    running,
)
from penstock.simulator.faults import drawn_fault, scripted_fault

Send = Callable[..., Any]


def test_a_marker_fails_so_many_times_and_then_lets_through(chat: Send) -> None:
    """The attempts of one request are counted; no other state is needed."""
    with running() as sim:
        assert [chat(sim, "[[fault:status=503,times=2]]").status for _ in range(4)] == [503, 503, 200, 200]


def test_attempts_of_different_requests_are_counted_apart(chat: Send) -> None:
    """A different text is a different request."""
    with running() as sim:
        assert [chat(sim, f"{n} [[fault:status=503,times=1]]").status for n in (1, 2, 1, 2)] == [503, 503, 200, 200]


def test_a_marker_without_times_always_fails(chat: Send) -> None:
    """Attempt after attempt."""
    with running() as sim:
        assert {chat(sim, "[[fault:status=400]]").status for _ in range(3)} == {400}


def test_markers_follow_one_another(chat: Send) -> None:
    """Each for its own `times`."""
    with running() as sim:
        text = "[[fault:status=503,times=2]] and [[fault:status=500,times=1]]"
        assert [chat(sim, text).status for _ in range(4)] == [503, 503, 500, 200]


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/v1/completions", {"prompt": "[[fault:status=503]]"}),
        ("/v1/responses", {"input": "[[fault:status=503]]"}),
        ("/v1/embeddings", {"input": ["[[fault:status=503]]"]}),
        ("/v1/moderations", {"input": "[[fault:status=503]]"}),
    ],
)
def test_every_api_understands_markers(send: Send, path: str, asked: dict[str, Any]) -> None:
    """In its own field."""
    with running() as sim:
        assert send(sim, path, {"model": "sim", **asked}).status == 503


def test_a_throttled_attempt_does_not_use_up_a_script(chat: Send) -> None:
    """It never reached the model."""
    clock = ManualClock()
    with running(SimulatorSettings(rpm=1), clock=clock) as sim:
        statuses = []
        for _ in range(2):
            statuses += [chat(sim, "[[fault:status=503,times=1]]").status for _ in range(2)]
            clock.advance(60)
    assert statuses == [503, 429, 200, 429]


def test_a_marker_that_makes_no_sense_is_refused(chat: Send) -> None:
    """Loudly, so that a misspelt test cannot pass."""
    with running() as sim:
        answer = chat(sim, "[[fault:statsu=503]]")
    assert answer.status == 400
    assert answer.json()["error"]["code"] == "invalid_fault"
    assert "statsu" in answer.json()["error"]["message"]


def test_rates_pick_the_same_attempts_in_any_order(chat: Send) -> None:
    """Seed and request decide, not the order of arrival."""
    settings = SimulatorSettings(seed=7, faults=(parse_fault_rate("0.5:status=503"),))
    texts = [f"task {n}" for n in range(30)]
    with running(settings) as sim:
        forth = {text: chat(sim, text).status for text in texts}
    with running(settings) as sim:
        back = {text: chat(sim, text).status for text in reversed(texts)}
    assert forth == back
    assert set(forth.values()) == {200, 503}


def test_rates_come_true_in_the_long_run() -> None:
    """A tenth is about a tenth, and another seed picks others."""
    rates = (FaultRate(0.1, InjectedFault(status=503)),)
    marks = [str(n).encode() for n in range(5_000)]
    picked = [{mark for mark in marks if drawn_fault(rates, seed, mark, 1)} for seed in (1, 2)]
    assert len(picked[0]) == pytest.approx(500, rel=0.2)
    assert picked[0] != picked[1]


def test_rates_are_drawn_anew_for_each_attempt() -> None:
    """A request that failed once need not fail for ever."""
    rates = (FaultRate(0.5, InjectedFault(status=503)),)
    assert len({drawn_fault(rates, 0, b"request", attempt) for attempt in range(1, 20)}) == 2


def test_several_rates_are_tried_in_turn() -> None:
    """The first that is drawn wins."""
    rates = (FaultRate(0.0, InjectedFault(status=500)), FaultRate(1.0, InjectedFault(status=503)))
    assert drawn_fault(rates, 0, b"request", 1) == InjectedFault(status=503)


def test_a_script_goes_before_a_rate(chat: Send) -> None:
    """A request that says how it wants to fail is not overruled."""
    with running(SimulatorSettings(faults=(parse_fault_rate("1:status=500"),))) as sim:
        assert chat(sim, "[[fault:status=503]]").status == 503


def test_faults_are_read_from_text() -> None:
    """Numbers, words, and blanks around them."""
    expected = InjectedFault(status=503, retry_after="2", drip_per_s=10.5, times=3)
    assert parse_fault("status=503, retry_after=2, drip_per_s=10.5, times=3") == expected
    assert parse_fault_rate("0.05:status=503") == FaultRate(0.05, InjectedFault(status=503))
    expected = InjectedFault(status=429, header=(("x-a", "1"), ("x-b", "date+5")), raw="a,b=c, raw=d")
    assert parse_fault("status=429,header.X-A=1, header.x-b=date+5, raw=a,b=c, raw=d") == expected
    assert parse_fault("raw=") == InjectedFault(raw="")


@pytest.mark.parametrize(
    "text", ["", "status", "status=99", "status=abc", "nothing=1", "reset=never", "times=0", "header.x"]
)
def test_a_fault_that_makes_no_sense_is_a_usage_error(text: str) -> None:
    """With an example in the hint."""
    with pytest.raises(UsageError, match="looks like"):
        parse_fault(text)


@pytest.mark.parametrize("text", ["status=503", "2:status=503", "-0.1:status=503", "nan:status=503", "0.5"])
def test_a_rate_that_makes_no_sense_is_a_usage_error(text: str) -> None:
    """It is a share from 0 to 1."""
    with pytest.raises(UsageError):
        parse_fault_rate(text)


def test_text_without_markers_has_no_fault() -> None:
    """The usual case."""
    assert scripted_fault("Tell me about [[links]].", 1) is None
