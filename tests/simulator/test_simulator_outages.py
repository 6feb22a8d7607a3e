"""When everything fails: by the clock, from a request on, now and then."""

from collections.abc import Callable
from typing import Any

import pytest

from penstock.clock import ManualClock
from penstock.errors import UsageError
from penstock.simulator import (
    Breakdown,
    Flapping,
    InjectedFault,
    Outage,
    SimulatorSettings,
    parse_outage,
    running,
)

Send = Callable[..., Any]


def test_in_an_outage_everything_fails(chat: Send, send: Send) -> None:
    """From its first second to its last, whatever is asked and by whom."""
    clock = ManualClock()
    settings = SimulatorSettings(outages=(parse_outage("10-20:status=529"),), api_keys=("key",))
    statuses = []
    with running(settings, clock=clock) as sim:
        for step_s in (9, 1, 9, 1):
            clock.advance(step_s)
            statuses.append((chat(sim, "hello", key="key").status, send(sim, "/v1/models").status))
        assert send(sim, "/bill").status == 200
    assert statuses == [(200, 401), (529, 529), (529, 529), (200, 401)]


def test_an_outage_can_spoil_answers_too(chat: Send) -> None:
    """Any fault will do, and it goes before a script."""
    with running(SimulatorSettings(outages=(parse_outage("0-10:body=empty"),)), clock=ManualClock()) as sim:
        assert chat(sim, "[[fault:status=503]]").body == b""
        assert sim.bill().billed == 1


def test_a_breakdown_begins_with_a_request_and_lasts_for_a_time(chat: Send) -> None:
    """However late that request comes; when it is over it does not come back."""
    clock = ManualClock()
    statuses = []
    with running(SimulatorSettings(outages=(parse_outage("#3+5:status=503"),)), clock=clock) as sim:
        for step_s in (100, 100, 1, 4, 2, 100):
            clock.advance(step_s)
            statuses.append(chat(sim, "hello").status)
    assert statuses == [200, 200, 503, 503, 200, 200]


def test_a_storm_asks_to_wait_until_it_is_over(chat: Send) -> None:
    """A breakdown may be any fault."""
    clock = ManualClock()
    with running(SimulatorSettings(outages=(parse_outage("#1+3:status=429,retry_after=3"),)), clock=clock) as sim:
        first = chat(sim, "hello")
        clock.advance(3)
        assert (first.status, first.headers["retry-after"]) == (429, "3")
        assert (chat(sim, "hello").status, sim.bill().impolite) == (200, 0)


def test_a_flapping_provider_goes_up_and_down_by_requests(chat: Send) -> None:
    """Refused ones count too, so that it comes back for whoever keeps asking."""
    with running(SimulatorSettings(outages=(parse_outage("3/2:status=503"),))) as sim:
        statuses = [chat(sim, "hello").status for _ in range(9)]
    assert statuses == [200, 200, 200, 503, 503, 200, 200, 200, 503]


def test_a_provider_that_resets_unread_requests_flaps_as_well(chat: Send) -> None:
    """Each is counted once, whether its body was read or not."""
    with running(SimulatorSettings(outages=(parse_outage("1/1:reset=before"),))) as sim:
        for _ in range(2):
            assert chat(sim, "hello").status == 200
            with pytest.raises(ConnectionResetError):
                chat(sim, "hello")
        assert (sim.bill().requests, sim.bill().faults, sim.bill().billed) == (4, 2, 2)


def test_providers_of_different_character_live_in_one_process(chat: Send) -> None:
    """Each with its own limits, outages and bill."""
    flapping = SimulatorSettings(outages=(parse_outage("1/1:status=503"),))
    with running() as steady, running(flapping) as shaky:
        statuses = [(chat(steady, "hello").status, chat(shaky, "hello").status) for _ in range(2)]
        assert statuses == [(200, 200), (200, 503)]
        assert (steady.bill().billed, shaky.bill().billed) == (2, 1)


def test_outages_are_read_from_text() -> None:
    """Each in its own form."""
    fault = InjectedFault(stall="head")
    assert parse_outage("10-20.5:stall=head") == Outage(10, 20.5, fault)
    assert parse_outage("#100+2.5:stall=head") == Breakdown(100, 2.5, fault)
    assert parse_outage("50/20:stall=head") == Flapping(50, 20, fault)


@pytest.mark.parametrize(
    "text",
    ["status=503", "20-10:status=503", "10:status=503", "a-b:status=503", "1-2", "#0+1:status=503", "0/1:", "5/"],
)
def test_an_outage_that_makes_no_sense_is_a_usage_error(text: str) -> None:
    """With an example in the hint."""
    with pytest.raises(UsageError):
        parse_outage(text)
