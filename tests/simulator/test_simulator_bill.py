"""The bill: what is charged, what is not, and what it tells about the client."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from penstock.clock import ManualClock
from penstock.simulator import Bill, SimulatorSettings, fingerprint, key_label, running

Send = Callable[..., Any]


def test_an_answer_is_billed_with_its_tokens(chat: Send) -> None:
    """Input and output as the usage says."""
    with running(SimulatorSettings(output_tokens=20)) as sim:
        usage = chat(sim, "hello").json()["usage"]
        bill = sim.bill()
    assert (bill.requests, bill.billed) == (1, 1)
    assert (bill.input_tokens, bill.output_tokens) == (usage["prompt_tokens"], usage["completion_tokens"])


def test_a_request_bought_twice_shows(send: Send) -> None:
    """Counts stand under the fingerprint of path and body."""
    one, two = b'{"model": "sim", "input": "one"}', b'{"model": "sim", "input": "two"}'
    with running() as sim:
        for body in (one, two, one):
            send(sim, "/v1/responses", body)
        bill = sim.bill()
    assert bill.counts == {fingerprint("/v1/responses", one): 2, fingerprint("/v1/responses", two): 1}
    assert bill.bought_twice == 1


def test_the_same_body_on_another_path_is_another_request() -> None:
    """The path is part of the fingerprint."""
    assert fingerprint("/v1/responses", b"{}") != fingerprint("/v1/embeddings", b"{}")


@pytest.mark.parametrize(
    ("fault", "billed"),
    [
        ("status=400", 0),
        ("status=429", 0),
        ("status=503", 0),
        ("status=503,drip_per_s=100000", 0),
        ("body=html", 0),
        ("body=error", 0),
        ("body=text", 0),
        ("body=no_http", 0),
        ("raw=hello", 0),
        ("reset=before", 0),
        ("close=before", 0),
        ("close=after", 1),
        ("reset=after", 1),
        ("reset=answer", 1),
        ("short_bytes=5", 1),
        ("drip_per_s=100000", 1),
        ("body=bad_json", 1),
        ("body=empty", 1),
        ("body=bad_utf8", 1),
        ("body=bomb,mb=1", 1),
        ("body=deep", 1),
        ("body=digits", 1),
        ("body=no_choices", 1),
        ("body=oversized,mb=1", 1),
        ("finish=length", 1),
        ("delay_ms=1", 1),
    ],
)
def test_what_was_produced_is_billed_and_nothing_else(open_chat: Send, fault: str, billed: int) -> None:
    """However it reaches the client, or does not."""
    with running(SimulatorSettings(output_tokens=5)) as sim:
        with open_chat(sim, f"[[fault:{fault}]]") as bare:
            try:
                bare.recv(1)
            except ConnectionResetError:
                assert "reset" in fault
        bill = sim.bill()
    assert (bill.billed, bill.faults) == (billed, 1)


@pytest.mark.parametrize("fault", ["stall=head", "stall=body"])
def test_an_answer_that_stalls_is_billed(chat: Send, open_chat: Send, fault: str) -> None:
    """The model did its work."""
    with running() as sim, open_chat(sim, f"[[fault:{fault}]]"):
        sim.wait_requests(1)
        chat(sim, "a later one")
        assert sim.bill().billed == 2


def test_an_answer_is_billed_though_its_client_has_gone(chat: Send, open_chat: Send) -> None:
    """Hanging up saves nothing. The second request is answered later than the first would have been."""
    with running(SimulatorSettings(latency_ms=20)) as sim:
        open_chat(sim, "hello").close()
        sim.wait_requests(1)
        chat(sim, "a later one")
        assert sim.bill().billed == 2


def test_the_most_requests_in_flight_are_seen(open_chat: Send) -> None:
    """Those that wait for an answer at one time."""
    with running() as sim:
        bare = [open_chat(sim, f"{n}[[fault:stall=head]]") for n in range(5)]
        sim.wait_requests(5)
        assert sim.bill().max_in_flight == 5
        for each in bare:
            each.close()


@pytest.mark.parametrize("wait", ["retry_after=10", "retry_after_ms=10000", "retry_after=date+10"])
def test_a_request_before_the_end_of_a_wait_is_impolite(chat: Send, wait: str) -> None:
    """But not one that was on its way already, nor one that waited."""
    clock = ManualClock()
    impolite = []
    with running(clock=clock) as sim:
        chat(sim, f"[[fault:status=429,{wait}]]")
        for step_s in (0.05, 5, 6):
            clock.advance(step_s)
            chat(sim, "hello")
            impolite.append(sim.bill().impolite)
    assert impolite == [0, 1, 1]


def test_a_limit_that_is_run_against_counts_as_impolite(chat: Send) -> None:
    """Its Retry-After binds like any other."""
    clock = ManualClock()
    with running(SimulatorSettings(rpm=1), clock=clock) as sim:
        for _ in range(4):
            chat(sim, "hello")
            clock.advance(1)
        assert sim.bill().impolite == 2


@pytest.mark.parametrize("wait", ["retry_after=-5", "retry_after=1e9", "retry_after=NaN", "retry_after=date-60"])
def test_nobody_must_heed_an_absurd_wait(chat: Send, wait: str) -> None:
    """It is not counted."""
    clock = ManualClock()
    with running(clock=clock) as sim:
        chat(sim, f"[[fault:status=429,{wait}]]")
        clock.advance(1)
        chat(sim, "hello")
        assert sim.bill().impolite == 0


def test_each_key_has_its_part_of_the_bill(chat: Send) -> None:
    """Under its last characters; what was refused is counted too, and so are those who bring none."""
    settings = SimulatorSettings(api_keys=("sk-one1", "sk-two2"))
    with running(settings) as sim:
        for text, key in (("a", "sk-one1"), ("b", "sk-one1"), ("[[fault:status=503]]", "sk-two2"), ("c", None)):
            chat(sim, text, key=key)
        bill = sim.bill()
    assert {name: (part.requests, part.refused, part.billed) for name, part in bill.keys.items()} == {
        key_label("sk-one1"): (2, 0, 2),
        "****two2": (1, 1, 0),
        key_label(""): (1, 1, 0),
    }
    assert sum(part.output_tokens for part in bill.keys.values()) == bill.output_tokens > 0
    assert sum(part.input_tokens for part in bill.keys.values()) == bill.input_tokens > 0


def test_the_bill_can_be_read_over_http(chat: Send, send: Send) -> None:
    """And reading it is not counted."""
    with running(SimulatorSettings(api_keys=("key",))) as sim:
        chat(sim, "hello", key="key")
        read = msgspec.json.decode(send(sim, "/bill").body, type=Bill)
        assert read == sim.bill()
    assert read.requests == 1


def test_waiting_for_requests_that_do_not_come_times_out() -> None:
    """So a broken test ends."""
    with running() as sim, pytest.raises(TimeoutError):
        sim.wait_requests(1, timeout_s=0.01)
