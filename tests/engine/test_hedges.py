"""Second copies of hung calls: sent though every place was taken, the first answer kept, both booked."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from penstock.events import Ending
from penstock.models import HttpResponse

if TYPE_CHECKING:
    from tests.engine.conftest import Runs

MOST_COPIES = 6
"""Three in a hundred of two hundred calls."""


@pytest.mark.parametrize("concurrency", [2, 50])
def test_a_hung_call_gets_a_second_copy(runs: Runs, concurrency: int) -> None:
    """The first place that comes free is its, and the copy that is dropped counts as unknown."""
    rows = [f"quick {number}" for number in range(200)]
    rows[150] = "hung"

    async def answer(prompt: str, attempt: int) -> HttpResponse:
        if (prompt, attempt) == ("hung", 1):
            await asyncio.Event().wait()
        await asyncio.sleep(0)
        return runs.good()

    finished = runs.run(rows, runs.provider(answer), concurrency=concurrency, hedge=True)
    assert (finished.ending, finished.totals.ok) == (Ending.FINISHED, 200)
    results = runs.results()
    assert [attempt.hedge for attempt in results["150"].attempts] == [True, False]
    copies = sum(attempt.hedge for result in results.values() for attempt in result.attempts)
    assert finished.totals.unknown == copies <= MOST_COPIES


def test_without_the_option_no_call_is_sent_twice(runs: Runs) -> None:
    """However long it takes."""

    async def answer(prompt: str, attempt: int) -> HttpResponse:
        if prompt == "150":
            await provider.until(lambda provider: provider.answered == 199)
        return runs.good()

    provider = runs.provider(answer)
    finished = runs.run([str(number) for number in range(200)], provider, concurrency=10)
    assert (finished.totals.ok, finished.totals.attempts) == (200, 200)
