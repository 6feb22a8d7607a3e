"""Keys that die half-way and come back."""

from collections.abc import Callable
from typing import Any

import pytest

from penstock.clock import ManualClock
from penstock.errors import UsageError
from penstock.simulator import InjectedFault, KeyDeath, SimulatorSettings, parse_key_death, running

Send = Callable[..., Any]
KEYS = ("sk-one", "sk-two")


def test_a_key_dies_after_its_requests_and_the_other_lives(chat: Send) -> None:
    """With the words that its death is given."""
    settings = SimulatorSettings(
        api_keys=KEYS, key_deaths=(parse_key_death("sk-one:2:status=429,code=insufficient_quota,message=No money"),)
    )
    with running(settings) as sim:
        answers = [chat(sim, f"hello {n}", key="sk-one") for n in range(4)]
        assert [answer.status for answer in answers] == [200, 200, 429, 429]
        assert answers[-1].json()["error"]["message"] == "No money"
        assert chat(sim, "hello", key="sk-two").status == 200
        assert (sim.bill().billed, sim.bill().faults) == (3, 2)


def test_a_dead_key_is_revived_with_as_many_requests_again(chat: Send) -> None:
    """As when an account is topped up."""
    with running(SimulatorSettings(key_deaths=(parse_key_death("*:1:status=402"),))) as sim:
        statuses = []
        for _ in range(2):
            statuses += [chat(sim, "hello", key="sk-one").status for _ in range(2)]
            sim.revive("sk-one")
    assert statuses == [200, 402, 200, 402]


def test_every_key_can_be_revived_over_http(chat: Send, send: Send) -> None:
    """And doing so is not counted as a request."""
    with running(SimulatorSettings(key_deaths=(parse_key_death("*:1:status=401"),))) as sim:
        assert [chat(sim, "hello").status for _ in range(2)] == [200, 401]
        assert send(sim, "/revive", {}).status == 200
        assert sim.bill().requests == 2
        assert chat(sim, "hello").status == 200


def test_requests_that_a_limit_refuses_do_not_wear_a_key_out(chat: Send) -> None:
    """They never reached the model."""
    settings = SimulatorSettings(rpm=1, key_deaths=(parse_key_death("*:2:status=402"),))
    clock = ManualClock()
    statuses = []
    with running(settings, clock=clock) as sim:
        for _ in range(3):
            statuses += [chat(sim, "hello").status for _ in range(2)]
            clock.advance(60)
    assert statuses == [200, 429, 200, 402, 402, 402]


def test_a_key_death_is_read_from_text() -> None:
    """The key, its requests, and how it is refused then."""
    assert parse_key_death("sk-one:100:status=402") == KeyDeath("sk-one", 100, InjectedFault(status=402))


@pytest.mark.parametrize("text", ["", "sk-one", "sk-one:status=402", "sk-one:x:status=402", "sk-one:1:nonsense"])
def test_a_key_death_that_makes_no_sense_is_a_usage_error(text: str) -> None:
    """With an example in the hint."""
    with pytest.raises(UsageError, match="looks like"):
        parse_key_death(text)
