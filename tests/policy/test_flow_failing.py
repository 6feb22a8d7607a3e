"""Flow control against a lone provider that fails a share of the calls, whatever their pace."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from penstock.policy.flow import Flow

if TYPE_CHECKING:
    from tests.policy.conftest import World

LATENCY_S = 0.3
WINDOW_S = 120.0


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("failed_s", [0.05, LATENCY_S])
@pytest.mark.parametrize("share", [0.2, 0.3, 0.4])
def test_who_fails_some_calls_costs_retries_and_not_the_flow(
    world: World, share: float, failed_s: float, seed: int
) -> None:
    """Sixty calls in flight from the first moment, and failures that come as late as answers, or sooner."""
    client = world.client(Flow(concurrency=60), world.failing(share, failed_s), lambda random: LATENCY_S, seed)
    client.run(60.0)
    assert client.answered >= 0.8 * (1 - share) * 60 / LATENCY_S * 60.0


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("share", [0.2, 0.3, 0.4])
def test_a_flow_that_finds_its_own_way_is_hardly_slower_for_failures(world: World, share: float, seed: int) -> None:
    """It may have a hundred in flight, and finds that out."""
    client, well = (
        world.client(Flow(ceiling=100), world.failing(failing, LATENCY_S), lambda random: LATENCY_S, seed)
        for failing in (share, 0.0)
    )
    client.run(60.0)
    well.run(60.0)
    assert client.answered >= 0.8 * (1 - share) * well.answered


@pytest.mark.parametrize("concurrency", [60, None])
def test_who_fails_all_calls_is_left_alone(world: World, concurrency: int | None) -> None:
    """What was in flight when it was found out, and then hardly a call."""
    client = world.client(Flow(concurrency=concurrency), world.failing(1.0, LATENCY_S), lambda random: LATENCY_S, 1)
    client.run(5.0)
    assert client.sent <= 130
    client.run(600.0)
    assert client.sent <= 200


@pytest.mark.parametrize("concurrency", [60, None])
def test_an_outage_sends_hardly_more_calls_than_tasks(world: World, concurrency: int | None) -> None:
    """Each retry finds that those of the two minutes before it are a fifth of the other calls, and ten."""
    client = world.client(Flow(concurrency=concurrency), world.failing(1.0, LATENCY_S), lambda random: LATENCY_S, 1)
    client.run(900.0)
    retries = [sent_s for sent_s, retry in client.sent_at if retry]
    others = [sent_s for sent_s, retry in client.sent_at if not retry]
    assert retries
    for now_s in retries:
        allowed = 10 + 0.2 * sum(now_s - WINDOW_S - 1 <= sent_s <= now_s for sent_s in others)
        assert sum(now_s - WINDOW_S < sent_s <= now_s for sent_s in retries) <= allowed
    assert sum(sent_s < WINDOW_S for sent_s, _ in client.sent_at) <= 1.2 * len(others) + 10
