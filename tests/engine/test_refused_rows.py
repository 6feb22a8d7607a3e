"""Rows that a provider refuses with the words of a refused key, and keys that are refused indeed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from penstock.events import Ending, Notice, Snapshot
from penstock.models import Failure, Fault, HttpResponse
from penstock.transport.fake import FunctionTransport

if TYPE_CHECKING:
    from tests.engine.conftest import Runs

    from penstock.events import Event

ROWS = [str(number) for number in range(100)]


def refusal(status: int) -> Failure:
    """The words for a key that may not do this."""
    return Failure(Fault.ACCOUNT, "Forbidden here", status)


@pytest.mark.parametrize("status", [401, 403, 404])
@pytest.mark.parametrize("concurrency", [1, 20])
def test_a_row_that_alone_is_refused_fails_alone(runs: Runs, status: int, concurrency: int) -> None:
    """The key goes on answering the others, and the row is not sent for ever."""
    provider = runs.provider(lambda prompt, attempt: refusal(status) if prompt == "50" else runs.good())
    finished = runs.run(ROWS, provider, concurrency=concurrency)
    assert (finished.ending, finished.totals.ok, finished.totals.failed) == (Ending.FINISHED, 99, 1)
    assert finished.totals.faults == {"account": 1}
    assert str(runs.results()["50"].failure) == str(refusal(status))
    assert 2 <= provider.prompts.count("50") <= 5


def test_the_last_row_is_refused_a_few_times_and_fails(runs: Runs) -> None:
    """Nobody is left to vouch for the key, which answered all the others."""
    provider = runs.provider(lambda prompt, attempt: refusal(403) if prompt == "99" else runs.good())
    finished = runs.run(ROWS, provider, concurrency=1)
    assert (finished.ending, finished.totals.failed) == (Ending.FINISHED, 1)
    assert provider.prompts.count("99") == 5


@pytest.mark.parametrize("concurrency", [1, 20])
def test_a_key_that_dies_is_out_quickly_and_fails_no_row(runs: Runs, concurrency: int) -> None:
    """Three tasks in a row are enough, beside those that were in flight."""
    provider = runs.provider(lambda prompt, attempt: runs.good() if provider.answered < 50 else refusal(401))
    finished = runs.run(ROWS, provider, concurrency=concurrency)
    assert (finished.ending, finished.totals.failed) == (Ending.PAUSED, 0)
    assert len(provider.prompts) - finished.totals.ok <= 2 + concurrency


def test_a_first_row_that_is_refused_pauses_once_and_not_for_ever(runs: Runs) -> None:
    """Before any answer the key is suspected; the same command again has the answers that came beside it."""

    async def answer(prompt: str, attempt: int) -> HttpResponse | Failure:
        await provider.until(lambda provider: len(provider.prompts) == 5)
        if prompt == "0":
            return refusal(403)
        await provider.until(lambda provider: provider.answered >= 1)
        return runs.good()

    provider = runs.provider(answer)
    assert runs.run(ROWS, provider, concurrency=5).ending is Ending.PAUSED
    finished = runs.run(
        ROWS, runs.provider(lambda prompt, attempt: refusal(403) if prompt == "0" else runs.good()), concurrency=5
    )
    assert (finished.ending, finished.totals.ok, finished.totals.failed) == (Ending.FINISHED, 99, 1)


def test_a_resumed_run_with_a_dead_key_pauses_whatever_is_left(runs: Runs) -> None:
    """One row is no proof against a key that answered nobody in this process."""
    runs.run(ROWS[:5], runs.provider(), limit=4)
    finished = runs.run(ROWS[:5], runs.provider(lambda prompt, attempt: refusal(401)))
    assert (finished.ending, finished.totals.failed, finished.totals.pending) == (Ending.PAUSED, 0, 1)


class Listener:
    """Keeps what is told at once, and the bindings and changes of every scope."""

    interval_s = 0.0

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        """Keep it."""
        self.events.append(event)

    def close(self) -> None:
        """Nothing is held."""


TWO = {
    "endpoints": {
        "poor": {"base_url": "http://127.0.0.1:1/v1", "api_keys": ["sk-poor"]},
        "rich": {"base_url": "http://127.0.0.1:2/v1", "api_keys": ["sk-rich"]},
    },
    "models": {"m": {"endpoints": ["poor", "rich"]}},
}


def test_a_key_that_dies_while_another_lives_is_told_once(runs: Runs) -> None:
    """One warning, however many tasks it refused."""
    listener = Listener()
    poor = runs.provider(lambda prompt, attempt: Failure(Fault.ACCOUNT, "Insufficient balance", 402))
    rich = runs.provider()
    finished = runs.run(
        ROWS,
        rich,
        observers=[listener],
        config=TWO,
        connect=lambda endpoint, key: FunctionTransport(poor if endpoint.name == "poor" else rich),
        concurrency=10,
    )
    assert (finished.ending, finished.totals.ok) == (Ending.FINISHED, 100)
    warnings = [event.message for event in listener.events if isinstance(event, Notice)]
    assert len(warnings) == 1
    assert "is out: Insufficient balance. rich" in warnings[0]
    assert "tried again in 5 min" in warnings[0]
    last = [event for event in listener.events if isinstance(event, Snapshot)][-1]
    out = next(scope for scope in last.scopes if scope.endpoint == "poor")
    assert out.binds.startswith("out: Insufficient balance, tried again in ")
    assert [(change.what, change.new) for change in out.changes if change.why == "Insufficient balance"] == [
        ("seconds out", 300.0)
    ]
