"""Taking rows: as many as asked, each once, and what follows from rows and sources that are not as they should be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from penstock.events import Ending
from penstock.models import Chunk, Failure, Fault, Position, Row
from penstock.sources.iterables import IterableSource

if TYPE_CHECKING:
    from tests.engine.conftest import Runs

ROWS = [str(i) for i in range(10)]
ACCOUNT = Failure(Fault.ACCOUNT, "no credit", 402)


@pytest.mark.parametrize("fresh", [True, False])
def test_rows_that_come_only_once_are_all_there(runs: Runs, fresh: bool) -> None:
    """A generator, also where the run begins anew."""
    assert runs.run(iter(row for row in ROWS), runs.provider(), fresh=fresh).totals.ok == 10


async def later_rows() -> AsyncIterator[str]:
    """Rows that are made on the way."""
    for row in ROWS:
        await asyncio.sleep(0)
        yield row


@pytest.mark.parametrize("fresh", [True, False])
def test_asynchronous_rows_are_all_there(runs: Runs, fresh: bool) -> None:
    """The same for these."""
    assert runs.run(IterableSource(later_rows()), runs.provider(), fresh=fresh).totals.ok == 10


@pytest.mark.parametrize(("limit", "taken"), [(1, 1), (9, 9), (10, 10), (11, 10)])
def test_limit_takes_so_many_rows(runs: Runs, limit: int, taken: int) -> None:
    """Over all starts together, and what was made of the source is no more than that."""
    made = []

    def rows() -> Iterator[str]:
        for row in ROWS:
            made.append(row)
            yield row

    for _ in range(2):
        assert runs.run(iter(ROWS), runs.provider(), limit=limit).totals.accepted == taken
    runs.run(rows(), runs.provider(), limit=limit, fresh=True)
    assert made == ROWS[:taken]


def test_a_run_of_bad_rows_alone_ends(runs: Runs) -> None:
    """Nothing is sent, each has its reason, and the next start has nothing to do."""
    rows: list[Any] = [5, ["a"], {"id": 1}, object()]
    provider = runs.provider()
    finished = runs.run(rows, provider)
    assert (finished.ending, finished.totals.failed, provider.prompts) == (Ending.FINISHED, 4, [])
    assert all(result.failure and result.failure.code == "bad_row" for result in runs.results().values())


def test_a_key_that_was_used_before_fails_alone(runs: Runs) -> None:
    """The first one keeps it and is answered; no answer is bought for the second."""
    rows = [{"id": "a", "prompt": "1"}, {"id": "a", "prompt": "2"}]
    provider = runs.provider()
    assert runs.run(rows, provider).totals.failed == 1
    assert provider.prompts == ["1"]
    assert "was used before, by row 1" in str(runs.results()["a#1"].failure)


class EndlessSource:
    """Gives one row, and then waits for ever."""

    name = "endless"
    total: int | None = None
    size_bytes: int | None = None

    async def open(self, position: Position | None) -> dict[str, Any]:
        """Begin."""
        self._given = position is not None
        return {"kind": "endless"}

    async def read(self, limit: int) -> Chunk | None:
        """The row, or nothing, ever."""
        if self._given:
            await asyncio.Event().wait()
        self._given = True
        return Chunk([Row(b'{"prompt":"a"}', {"prompt": "a"}, "1")], {"given": True})

    async def aclose(self) -> None:
        """Nothing is held."""


def test_a_source_that_waits_does_not_keep_a_pause_from_ending(runs: Runs) -> None:
    """A pipe that nobody writes to, say."""
    finished = runs.run(EndlessSource(), runs.provider(lambda prompt, attempt: ACCOUNT))
    assert (finished.ending, finished.totals.pending) == (Ending.PAUSED, 1)


def test_a_source_that_breaks_pauses_the_run(runs: Runs) -> None:
    """What was taken before is done first, and kept."""

    def rows() -> Iterator[str]:
        yield from ROWS[:3]
        raise OSError("the network is down")

    finished = runs.run(rows(), runs.provider())
    assert finished.ending is Ending.PAUSED
    assert "the network is down" in str(finished.reason)
    assert runs.run(ROWS, runs.provider()).totals.ok == 10


class BrokenSource(EndlessSource):
    """Gives one row, and then has a mistake in it."""

    async def read(self, limit: int) -> Chunk | None:
        """The row, or the mistake."""
        if self._given:
            raise ZeroDivisionError
        return await super().read(limit)


def test_a_mistake_in_a_source_ends_the_run_with_it(runs: Runs) -> None:
    """It is raised, not taken for the end of the rows, and nobody waits."""
    with pytest.raises(ZeroDivisionError):
        runs.run(BrokenSource(), runs.provider())
