"""Limits: when they bind, what they say, and when they let go."""

from collections.abc import Callable
from typing import Any

import pytest

from penstock.clock import ManualClock
from penstock.simulator import SimulatorSettings, running
from penstock.simulator.limits import format_duration

Send = Callable[..., Any]


def test_requests_per_minute_are_limited(chat: Send) -> None:
    """The request beyond the limit is refused with the words and headers of the real API."""
    with running(SimulatorSettings(rpm=2), clock=ManualClock()) as sim:
        assert [chat(sim, "hello").status for _ in range(2)] == [200, 200]
        refused = chat(sim, "hello")
        bill = sim.bill()
    assert refused.status == 429
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert refused.json()["error"]["type"] == "requests"
    assert refused.headers["retry-after"] == "30"
    assert refused.headers["retry-after-ms"] == "30000"
    assert (bill.requests, bill.billed, bill.throttled) == (3, 2, 1)


def test_a_limit_lets_go_after_the_wait_it_asked_for(chat: Send) -> None:
    """Requests fill back continuously."""
    clock = ManualClock()
    with running(SimulatorSettings(rpm=2), clock=clock) as sim:
        statuses = [chat(sim, "hello").status for _ in range(3)]
        clock.advance(30)
        statuses += [chat(sim, "hello").status for _ in range(2)]
    assert statuses == [200, 200, 429, 200, 429]


def test_every_response_tells_what_is_left(chat: Send, send: Send) -> None:
    """Good answers, bad requests and the list of models alike."""
    with running(SimulatorSettings(rpm=40, tpm=6_000, output_tokens=96), clock=ManualClock()) as sim:
        good = chat(sim, "x" * 4)
        bad = send(sim, "/v1/chat/completions", {})
        models = send(sim, "/v1/models")
    expected = {
        "x-ratelimit-limit-requests": "40",
        "x-ratelimit-remaining-requests": "39",
        "x-ratelimit-reset-requests": "1.5s",
        "x-ratelimit-limit-tokens": "6000",
        "x-ratelimit-remaining-tokens": "5900",
        "x-ratelimit-reset-tokens": "1s",
    }
    for answer in (good, bad, models):
        assert {name: value for name, value in answer.headers.items() if "ratelimit" in name} == expected


def test_no_limit_means_no_headers(chat: Send) -> None:
    """There is nothing to announce."""
    with running() as sim:
        assert not [name for name in chat(sim, "hello").headers if "ratelimit" in name]


def test_limits_can_be_kept_secret(chat: Send) -> None:
    """They bind all the same, and a refusal still says when to come back."""
    with running(SimulatorSettings(rpm=1, announce=False), clock=ManualClock()) as sim:
        answers = [chat(sim, "hello") for _ in range(2)]
    assert [answer.status for answer in answers] == [200, 429]
    assert not [name for answer in answers for name in answer.headers if "ratelimit" in name]
    assert answers[1].headers["retry-after"] == "60"


def test_tokens_per_minute_are_limited(chat: Send) -> None:
    """Input and output count together, and the refusal names tokens."""
    with running(SimulatorSettings(tpm=100, output_tokens=60), clock=ManualClock()) as sim:
        assert chat(sim, "hello").status == 200
        refused = chat(sim, "hello")
    assert refused.status == 429
    assert refused.json()["error"]["type"] == "tokens"
    assert refused.headers["retry-after-ms"] == "16800"


def test_a_request_larger_than_the_limit_is_not_told_to_wait(chat: Send) -> None:
    """It would wait for ever."""
    with running(SimulatorSettings(tpm=50, output_tokens=60), clock=ManualClock()) as sim:
        refused = chat(sim, "hello")
    assert refused.status == 429
    assert "Request too large" in refused.json()["error"]["message"]
    assert "retry-after" not in refused.headers


def test_a_refused_request_costs_nothing(chat: Send) -> None:
    """Too many tokens do not use up a request."""
    with running(SimulatorSettings(rpm=10, tpm=50, output_tokens=60), clock=ManualClock()) as sim:
        assert chat(sim, "hello").headers["x-ratelimit-remaining-requests"] == "10"


def test_the_burst_is_a_share_of_the_minute(chat: Send) -> None:
    """600 a minute with a burst of a tenth of a second is one at a time."""
    with running(SimulatorSettings(rpm=600, burst_s=0.1), clock=ManualClock()) as sim:
        assert [chat(sim, "hello").status for _ in range(2)] == [200, 429]


def test_requests_in_flight_are_limited(chat: Send, open_chat: Send) -> None:
    """One that stalls holds its place until its client is gone."""
    with running(SimulatorSettings(max_concurrency=1)) as sim:
        with open_chat(sim, "[[fault:stall=head]]"):
            sim.wait_requests(1)
            refused = chat(sim, "hello")
        assert refused.status == 429
        assert refused.headers["retry-after"] == "1"
        assert sim.bill().throttled == 1


def test_a_place_in_flight_is_given_back(chat: Send) -> None:
    """After an answer the next may come."""
    with running(SimulatorSettings(max_concurrency=1, latency_ms=1)) as sim:
        assert [chat(sim, f"hello {n}").status for n in range(3)] == [200, 200, 200]


def test_each_key_has_limits_of_its_own(chat: Send) -> None:
    """One that is used up leaves the other free."""
    with running(SimulatorSettings(rpm=1, api_keys=("one", "two")), clock=ManualClock()) as sim:
        assert [chat(sim, "hello", key=key).status for key in ("one", "one", "two")] == [200, 429, 200]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0ms"), (0.006, "6ms"), (1, "1s"), (8.64, "8.64s"), (90, "1m30s"), (360, "6m0s"), (3_600, "1h0m0s")],
)
def test_durations_are_written_as_the_headers_have_them(seconds: float, text: str) -> None:
    """In Go's form."""
    assert format_duration(seconds) == text
