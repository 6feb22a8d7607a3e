"""Distributions, determinism, and the simulator as an object."""

import asyncio
import statistics

import pytest
import uvloop

from penstock.clock import ManualClock
from penstock.simulator import Simulator, SimulatorSettings, running
from penstock.simulator.bill import Charge
from penstock.simulator.chance import lognormal, uniform
from penstock.simulator.provider import Call, Provider, Reply


def ask(provider: Provider, text: str) -> Reply:
    """Ask one question and get the place back."""
    body = b'{"model": "sim", "input": "%b"}' % text.encode()
    reply = provider.take(Call("POST", "/v1/responses", "", body))
    provider.release(reply)
    return reply


def describe(reply: Reply) -> tuple[bytes, float, Charge | None]:
    """What chance has a part in."""
    return reply.body, reply.latency_s, reply.charge


def make(**settings: float) -> Provider:
    """A provider under a clock that stands still."""
    return Provider(SimulatorSettings(**settings), ManualClock())  # type: ignore[arg-type]


def test_latency_without_spread_is_fixed() -> None:
    """Every answer takes the same time."""
    provider = make(latency_ms=250)
    assert {ask(provider, f"task {n}").latency_s for n in range(10)} == {0.25}


def test_latency_with_spread_has_the_median_asked_for() -> None:
    """And a tail to the right."""
    provider = make(latency_ms=250, latency_sigma=0.5)
    latencies = [ask(provider, f"task {n}").latency_s for n in range(1_000)]
    assert statistics.median(latencies) == pytest.approx(0.25, rel=0.1)
    assert statistics.mean(latencies) > statistics.median(latencies)


def test_lengths_with_spread_have_the_median_asked_for() -> None:
    """In tokens, never none."""
    provider = make(output_tokens=100, tokens_sigma=0.5)
    charges = [ask(provider, f"task {n}").charge for n in range(1_000)]
    tokens = [charge.output_tokens for charge in charges if charge]
    assert statistics.median(tokens) == pytest.approx(100, rel=0.1)
    assert min(tokens) >= 1


def test_the_same_request_gets_the_same_answer_in_any_order() -> None:
    """Body, length and latency."""
    texts = [f"task {n}" for n in range(20)]
    forth, back = (make(seed=3, latency_ms=100, latency_sigma=1, tokens_sigma=1) for _ in range(2))
    first = {text: ask(forth, text) for text in texts}
    second = {text: ask(back, text) for text in reversed(texts)}
    assert [describe(first[text]) for text in texts] == [describe(second[text]) for text in texts]


def test_another_seed_draws_other_values() -> None:
    """The request alone does not decide."""
    assert uniform(1, "latency", b"request") != uniform(2, "latency", b"request")


def test_draws_are_uniform() -> None:
    """Between 0 and 1, with the mean in the middle."""
    draws = [uniform(0, "test", str(n).encode()) for n in range(2_000)]
    assert 0 < min(draws) < max(draws) < 1
    assert statistics.mean(draws) == pytest.approx(0.5, abs=0.03)


def test_the_middle_of_a_lognormal_distribution_is_its_median() -> None:
    """With any spread."""
    assert lognormal(50, 2, 0.5) == pytest.approx(50)


def test_the_simulator_lives_in_any_event_loop() -> None:
    """As an async context manager, with its bill at the end."""

    async def live() -> int:
        async with Simulator() as simulator:
            host, port = simulator.base_url.removeprefix("http://").removesuffix("/v1").split(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"GET /v1/models HTTP/1.0\r\n\r\n")
            assert b"sim" in await reader.read()
            writer.close()
            await simulator.wait_requests(1)
            return simulator.bill().requests

    assert asyncio.run(live()) == uvloop.run(live()) == 1


def test_leaving_drops_whoever_is_still_connected() -> None:
    """Calls that stall or are late do not hold it up."""

    async def live() -> bytes:
        async with Simulator() as simulator:
            host, port = simulator.base_url.removeprefix("http://").removesuffix("/v1").split(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            body = b'{"model": "sim", "input": "[[fault:stall=head]]"}'
            writer.write(b"POST /v1/responses HTTP/1.1\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
            await simulator.wait_requests(1)
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""
        finally:
            writer.close()

    assert uvloop.run(live()) == b""


def test_a_port_that_is_taken_is_said_at_once() -> None:
    """From the block itself, not from its thread."""
    with running() as sim:
        second = running(port=int(sim.base_url.removesuffix("/v1").rpartition(":")[2]))
        with pytest.raises(OSError, match="address already in use"):
            second.__enter__()


def test_a_quota_tells_what_is_left() -> None:
    """As of the last request."""
    provider = make(rpm=10, tpm=1_000, max_concurrency=2, output_tokens=50)
    reply = provider.take(Call("POST", "/v1/responses", "", b'{"model": "sim", "input": "hello"}'))
    assert reply.quota is not None
    snapshot = reply.quota.snapshot()
    assert (snapshot.requests, snapshot.tokens, snapshot.in_flight) == (9, 946, 1)
