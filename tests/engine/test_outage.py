"""A provider that is down for a while costs no task, and tasks in back-off never come back as two calls."""

import asyncio
from typing import Any

import pytest

from penstock.events import Ending
from penstock.models import Failure, Fault

DOWN = Failure(Fault.OVERLOADED, "overloaded", 503)


def test_a_back_off_of_no_time_leaks_no_place(runs: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A task that is due again at once begins its next call before the last one is put away."""

    async def down_at_first(prompt: str, attempt: int) -> Any:
        await asyncio.sleep(0)
        return DOWN if attempt == 1 and int(prompt) % 4 == 0 else runs.good()

    provider = runs.provider(down_at_first)
    finished = runs.run(range_rows(300), provider, concurrency=50, draw=at_once)
    assert (finished.ending, finished.totals.ok, finished.totals.failed) == (Ending.FINISHED, 300, 0)
    assert provider.most_in_flight == 50
    assert caplog.records == []


def test_a_provider_that_is_down_fails_no_task(runs: Any) -> None:
    """However often each task was refused: while nobody is answered the tasks are not at fault."""
    provider = runs.provider(lambda prompt, attempt: DOWN if attempt <= 8 else runs.good())
    finished = runs.run(range_rows(5), provider, concurrency=5, max_attempts=2, draw=at_once)
    assert (finished.totals.ok, finished.totals.failed) == (5, 0)


def test_a_provider_that_stays_down_pauses_the_run(runs: Any) -> None:
    """After the patience its tasks are pending, not failed."""
    finished = runs.run(
        range_rows(5), runs.provider(lambda prompt, attempt: DOWN), concurrency=5, patience_s=0.01, draw=at_once
    )
    assert (finished.ending, finished.totals.failed, finished.totals.pending) == (Ending.PAUSED, 0, 5)
    assert "overloaded" in (finished.reason or "")


def at_once() -> float:
    """No jitter, and so no wait."""
    return 0.0


def range_rows(count: int) -> list[str]:
    """As many different prompts."""
    return [str(number) for number in range(count)]
