"""Flow control against six kinds of provider. They are drawn from `reliability.md`, section 4."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from random import Random
from typing import TYPE_CHECKING

import pytest

from penstock.policy.flow import Flow

if TYPE_CHECKING:
    from tests.policy.conftest import Client, Provider, World

SEEDS = (1, 2, 3)
LONG_S = 1_200.0


def spread(random: Random) -> float:
    """Answers of eleven seconds on average, some of them ten times as long."""
    return random.lognormvariate(math.log(11) - 0.32, 0.8)


def bimodal(random: Random) -> float:
    """Four short answers to each long one."""
    return random.lognormvariate(math.log(2 if random.random() < 0.8 else 40), 0.3)


@cache
def lived(world: World, case: str, seed: int) -> Client:
    """A client that has been through a case."""
    build, size_s = CASES[case]
    flow, provider = build(world)
    client = world.client(flow, provider, size_s, seed)
    client.run(LONG_S)
    return client


CASES: dict[str, tuple[Callable[[World], tuple[Flow, Provider]], Callable[[Random], float]]] = {
    "strict": (lambda world: (Flow(), world.metered(10.0, burst=10.0, penalty=1.0)), spread),
    "lenient": (lambda world: (Flow(), world.metered(10.0, burst=60.0)), spread),
    "shared": (lambda world: (Flow(), world.shared()), spread),
    "outage": (lambda world: (Flow(), world.metered(10.0, burst=60.0, outage_s=(300.0, 420.0))), spread),
    "unlimited": (lambda world: (Flow(ceiling=500), world.metered()), bimodal),
    "crowded": (lambda world: (Flow(), world.metered(most=50)), spread),
}
"""Flow and provider, and how long answers take."""


@pytest.mark.parametrize("seed", SEEDS)
def test_a_strict_limit_is_found_with_hardly_a_refusal(world: World, seed: int) -> None:
    """Ten a second, where each refusal costs one of them."""
    client = lived(world, "strict", seed)
    assert client.answered / LONG_S >= 0.9 * 10
    assert client.throttled <= 0.01 * client.answered


@pytest.mark.parametrize("seed", SEEDS)
def test_a_lenient_limit_is_used_up(world: World, seed: int) -> None:
    """Ten a second, with a minute's tenth at once, and refusals that cost nothing."""
    assert lived(world, "lenient", seed).answered / LONG_S >= 0.95 * 10


@pytest.mark.parametrize("seed", SEEDS)
def test_a_shared_machine_is_neither_starved_nor_drowned(world: World, seed: int) -> None:
    """As many tokens as with the best fixed number of calls, and few of them thrown away by the deadline."""
    client = lived(world, "shared", seed)
    provider = client.provider
    assert isinstance(provider, world.shared)
    best = max(kept_with(world, number, seed) for number in (80, 100, 120))
    assert provider.kept >= 0.95 * best
    assert provider.wasted <= 0.08 * (provider.kept + provider.wasted)


@cache
def kept_with(world: World, concurrency: int, seed: int) -> float:
    """Tokens delivered with a fixed number of calls in flight."""
    provider = world.shared()
    world.client(Flow(concurrency=concurrency), provider, spread, seed).run(LONG_S)
    return provider.kept


@pytest.mark.parametrize("seed", SEEDS)
def test_after_an_outage_everything_comes_back(world: World, seed: int) -> None:
    """Of what two minutes without a provider leave of twenty, nearly all."""
    assert lived(world, "outage", seed).answered >= 0.9 * 10 * (LONG_S - 120)


@pytest.mark.parametrize("seed", SEEDS)
def test_without_a_limit_the_ceiling_is_reached(world: World, seed: int) -> None:
    """Long answers among short ones are not taken for trouble."""
    assert lived(world, "unlimited", seed).mean_in_flight >= 0.95 * 500


@pytest.mark.parametrize("seed", SEEDS)
def test_a_limit_of_calls_in_flight_is_filled(world: World, seed: int) -> None:
    """Fifty at once, and a refusal beyond."""
    assert lived(world, "crowded", seed).mean_in_flight >= 0.9 * 50


@pytest.mark.parametrize("penalty", [0.0, 1.0])
@pytest.mark.parametrize("size_s", [0.05, 1.0])
def test_a_first_burst_that_is_mostly_refused_does_not_stall_the_rest(
    world: World, size_s: float, penalty: float
) -> None:
    """Thirty at once into a bucket of five, which takes twenty a second from then on."""
    client = world.client(
        Flow(concurrency=30), world.metered(20.0, burst=5.0, penalty=penalty), lambda random: size_s, seed=1
    )
    client.run(80.0)
    assert client.answered >= 0.6 * 20 * 80
