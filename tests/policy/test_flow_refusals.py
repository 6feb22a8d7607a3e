"""What 429s are made of: a pace that is too fast, a number of calls in flight, or nothing that the client does."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from penstock.policy.flow import Flow

if TYPE_CHECKING:
    from random import Random

    from tests.policy.conftest import World

WHATEVER_THE_PACE = "the provider turns calls away whatever the pace is"


def about_two_seconds(random: Random) -> float:
    """How long answers take."""
    return random.lognormvariate(math.log(2.5) - 0.1, 0.4)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("concurrency", [20, None])
@pytest.mark.parametrize(
    ("share", "asked_s", "least_per_s"), [(0.02, 1.0, 4.0), (0.1, 1.0, 4.0), (0.1, None, 4.0), (0.3, 1.0, 2.5)]
)
def test_a_share_that_is_refused_at_any_pace_slows_nothing_but_by_the_pauses(
    world: World, share: float, asked_s: float | None, least_per_s: float, concurrency: int | None, seed: int
) -> None:
    """An aggregator with an ill node: after a minute and a half the flow is as good as it was, and stays so."""
    flow = Flow(concurrency=concurrency)
    client = world.client(flow, world.moody(share, asked_s), about_two_seconds, seed)
    client.run(120.0)
    before = client.answered
    client.run(360.0)
    assert (client.answered - before) / 240 >= least_per_s
    assert WHATEVER_THE_PACE in [change.why for change in flow.snapshot(360.0).changes]


@pytest.mark.parametrize(("per_s", "burst"), [(100.0, 30.0), (100.0, 100.0), (20.0, 60.0), (50.0, 10.0), (10.0, 10.0)])
@pytest.mark.parametrize("size_s", [0.05, 1.0, 5.0])
@pytest.mark.parametrize("concurrency", [200, None])
def test_a_limit_of_rate_is_not_taken_for_that(
    world: World, per_s: float, burst: float, size_s: float, concurrency: int | None
) -> None:
    """Whatever the first burst was like."""
    flow = Flow(concurrency=concurrency)
    world.client(flow, world.metered(per_s, burst=burst), lambda random: size_s, seed=1).run(120.0)
    assert WHATEVER_THE_PACE not in [change.why for change in flow.snapshot(120.0).changes]


def test_when_the_limit_of_rate_becomes_real_the_pace_answers_again(world: World) -> None:
    """After a time in which it was not the pace."""
    flow = Flow(concurrency=200)
    client = world.client(flow, world.moody(0.1, 1.0), lambda random: 2.0, seed=1)
    client.run(120.0)
    assert WHATEVER_THE_PACE in [change.why for change in flow.snapshot(120.0).changes]
    client.provider = world.metered(10.0, burst=10.0)
    client.run(180.0)
    sent = client.sent
    client.run(300.0)
    assert client.sent - sent <= 1.15 * 10 * 120


@pytest.mark.parametrize(("size_s", "concurrency"), [(0.05, 200), (0.05, None), (1.0, 200), (1.0, None)])
def test_what_an_opening_burst_let_in_is_soon_left_behind(world: World, size_s: float, concurrency: int | None) -> None:
    """A hundred a second and thirty at once: within half a minute most of it is used."""
    flow = Flow(concurrency=concurrency)
    client = world.client(flow, world.metered(100.0, burst=30.0), lambda random: size_s, seed=1)
    client.run(20.0)
    before = client.answered
    client.run(50.0)
    assert (client.answered - before) / 30 >= 0.8 * 100


def test_a_fixed_number_of_calls_stays_what_it_is(world: World) -> None:
    """Also where the provider counts calls in flight: the rate answers its 429s."""
    flow = Flow(concurrency=100)
    client = world.client(flow, world.metered(most=50), lambda random: 5.0, seed=1)
    for minute in range(1, 11):
        client.run(60.0 * minute)
        assert flow.limit(60.0 * minute) == 100
    assert client.mean_in_flight >= 0.6 * 50
