"""Which seat gets a call."""

from __future__ import annotations

import asyncio
import os
from typing import cast

import pytest

from penstock.clock import ManualClock
from penstock.engine.flight import Flight
from penstock.engine.processes.executor import Hooks, ProcessExecutor
from penstock.engine.processes.seat import Terms
from penstock.engine.scope import Place
from penstock.engine.work import Work
from penstock.errors import RunPaused
from penstock.models import Outcome
from penstock.policy.announced import Announced


def test_a_seat_without_a_process_for_good_gets_no_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has none in flight, and would get them all."""

    async def story() -> None:
        troubles: list[RunPaused] = []
        ended: list[Flight] = []

        def end(flight: Flight, outcome: Outcome | None, announced: Announced | None) -> None:
            ended.append(flight)

        hooks = Hooks(lambda error: None, lambda words: None, troubles.append)
        terms = Terms(dict(os.environ), 60.0, ManualClock())
        executor = ProcessExecutor(2, lambda lane: pytest.fail("nothing is sent"), hooks, terms)
        shut, other = executor._seats
        executor._give_up_on(shut, "gone")
        flights = [Flight(cast(Work, None), cast(Place, None), 0.0, None, False) for _ in range(3)]
        for flight in flights:
            executor.start(flight, end)
        assert (shut.in_flight, other.in_flight, len(troubles)) == (0, 3, 1)
        await executor.aclose()

    asyncio.run(story())
