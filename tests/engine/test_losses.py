"""Calls that are lost with what made them: as after a crash they may be billed, and their tasks are sent again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import pytest

from penstock.engine.dispatcher import Dispatcher
from penstock.engine.flight import End, Flight
from penstock.engine.tasks import TaskExecutor
from penstock.events import Ending, Finished
from penstock.journal.folder import JOURNAL_FILE
from penstock.journal.verify import verify
from penstock.models import Outcome
from penstock.policy.announced import Announced
from penstock.pricing import Price, Pricing

if TYPE_CHECKING:
    from tests.engine.conftest import Runs

PRICING = Pricing({"m": Price(1.0, 1.0)}, "USD")
"""Per million tokens."""


class LosingExecutor(TaskExecutor):
    """Makes calls, and loses the answers to the first `losses` of them."""

    def __init__(self, dispatcher: Dispatcher, losses: int) -> None:
        super().__init__(dispatcher.fail)
        self._losses = losses
        self.lost = 0

    def start(self, flight: Flight, end: End) -> None:
        """Make the call, or begin to."""

        def lose(flight: Flight, outcome: Outcome | None, announced: Announced | None) -> None:
            self.lost += outcome is not None
            end(flight, None, None)

        self._losses -= 1
        super().start(flight, end if self._losses < 0 else lose)


def run(runs: Runs, rows: int, losses: int, **options: object) -> Finished:
    """A run some of whose calls are lost."""
    plan = runs.plan([str(number) for number in range(rows)], runs.provider(), **options)  # type: ignore[arg-type]
    plan = msgspec.structs.replace(plan, make_executor=lambda dispatcher: LosingExecutor(dispatcher, losses))
    return asyncio.run(runs.execute(plan))


@pytest.mark.parametrize("ambiguous", ["never", "once"])
@pytest.mark.parametrize(("losses", "concurrency"), [(1, 1), (7, 3), (50, 10), (100, 20)])
def test_every_task_is_settled_and_every_loss_counted(
    runs: Runs, losses: int, concurrency: int, ambiguous: str
) -> None:
    """Whatever may be sent again after an ambiguous end: a loss is no end."""
    finished = run(runs, 60, losses, concurrency=concurrency, ambiguous=ambiguous, max_attempts=1)
    assert finished.ending is Ending.FINISHED
    assert (finished.totals.ok, finished.totals.unknown) == (60, losses)
    checked = verify(runs.folder / JOURNAL_FILE)
    assert (checked.problems, checked.totals) == ([], finished.totals)
    assert all(len(result.attempts) == 1 for result in runs.results().values())


def test_a_loss_is_counted_at_what_it_may_have_cost(runs: Runs) -> None:
    """With a budget, what was reserved for it stays taken for good."""
    spent = run(runs, 20, 4, budget=1.0, pricing=PRICING, param={"max_tokens": 100}, concurrency=5).totals
    assert spent.unknown == 4
    assert 4 * 100 / 1e6 <= spent.unknown_cost < 4 * 300 / 1e6


def test_losses_use_up_the_budget(runs: Runs) -> None:
    """It is not exceeded by calls that are lost again and again: the run pauses."""
    budget = 0.01
    finished = run(runs, 20, 1000, budget=budget, pricing=PRICING, param={"max_tokens": 100}, concurrency=3)
    totals = finished.totals
    assert finished.ending is Ending.PAUSED
    assert (totals.ok, totals.pending) == (0, 20)
    assert 0 < totals.cost + totals.unknown_cost <= budget
    assert totals.unknown > 30


def test_a_place_is_given_back_once_the_loss_is_on_disk(runs: Runs) -> None:
    """Not before: what a crash would lose, in flight or not recorded, stays within the concurrency."""
    held: list[tuple[int, float]] = []

    def make(dispatcher: Dispatcher) -> TaskExecutor:
        record = dispatcher.losses.record

        def hold(calls: int, amount: float, done: object) -> None:
            taken = dispatcher.in_flight + calls
            held.append((calls, taken))
            record(calls, amount, done)  # type: ignore[arg-type]

        dispatcher.losses.record = hold
        return LosingExecutor(dispatcher, 40)

    plan = runs.plan([str(number) for number in range(60)], runs.provider(), concurrency=4)
    finished = asyncio.run(runs.execute(msgspec.structs.replace(plan, make_executor=make)))
    assert finished.totals.ok == 60
    assert sum(calls for calls, _ in held) == 40
    assert max(taken for _, taken in held) <= 4
