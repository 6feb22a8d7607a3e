"""What `status` and `show` say of money, told from journals that were written for it."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from penstock.events import Money
from penstock.journal.journal import Journal
from penstock.models import Attempt, Failure, Fault, Result, Status, Task, Usage

if TYPE_CHECKING:
    from tests.cli.conftest import Cli, ListeningRun

BODY = b'{"choices":[{"message":{"content":"yes"}}]}'


def answered(task: Task, *attempts: Attempt) -> Result:
    """An answer in yuan, at the cost of its attempts."""
    costs = [attempt.cost for attempt in attempts if attempt.cost is not None]
    return Result(
        task.key,
        task.index,
        Status.OK,
        task.raw,
        api="chat",
        model="m",
        body=BODY,
        text="yes",
        usage=Usage(12, 0, 3),
        cost=sum(costs) if costs else None,
        currency="CNY",
        attempts=attempts,
    )


def failed(task: Task, *attempts: Attempt) -> Result:
    """A failure in yuan."""
    failure = Failure(Fault.AMBIGUOUS, "no answer")
    result = answered(task, *attempts)
    return msgspec.structs.replace(result, status=Status.FAILED, body=b"", text=None, usage=Usage(), failure=failure)


ANSWER = Attempt("e", 1.0, 2.0, key="key 2", model="other", cost=1.5)
LOST = Attempt("e", 1.0, 2.0, Fault.AMBIGUOUS, 502, "bad gateway", unknown_cost=0.25)
COPY = Attempt("e", 1.0, 2.0, Fault.AMBIGUOUS, unknown_cost=0.25, hedge=True)


def write_run(folder: Path, exhausted: bool, *results: Any, **remembered: Any) -> None:
    """The run `job` with four tasks, of which the first ones have these results; killed where it has no ending."""

    async def work() -> None:
        live = folder / ".penstock" / "live"
        journal = Journal(live, lambda api, body: (None, None), window=3)
        for name, value in remembered.items():
            journal.remember(name, value)
        journal.start()
        tasks = await journal.accept([Task(f"k{i}", i, b"{}", {}, "row") for i in range(4)], {})
        for make, task in zip(results, tasks, strict=False):
            journal.settle(make(task))
        await journal.allow(3, 2.5)
        await journal.flush()
        if not exhausted:
            shutil.copytree(live, folder / ".penstock" / "job")
        await journal.aclose({"ending": "paused", "reason": "no credit", "at": 1.0, "exhausted": exhausted})
        if exhausted:
            live.rename(folder / ".penstock" / "job")
        else:
            shutil.rmtree(live)

    asyncio.run(work())


def test_status_tells_spent_unknown_projected_and_the_budget(folder: Path, cli: Cli) -> None:
    """Once the source was read to its end the rest can be told from what was done."""
    options = {"budget": 100.0}
    write_run(folder, True, lambda t: answered(t, LOST, ANSWER), lambda t: failed(t, LOST), options=options)
    lines = cli("status", "job").out.splitlines()
    assert "cost      ¥1.50 of ¥100.00 for 12 input and 3 output tokens" in lines
    assert "          unknown ¥0.5000, projected ¥3.00" in lines
    assert "unknown   2 attempts may have been billed without an answer, at most ¥0.5000" in lines
    assert json.loads(cli("status", "job", "--json").out)["money"] == {
        "currency": "CNY",
        "spent": 1.5,
        "reserved": 0.0,
        "unknown": 0.5,
        "projected": 3.0,
        "budget": 100.0,
    }


def test_a_killed_run_counts_what_it_may_have_had_in_flight(folder: Path, cli: Cli) -> None:
    """Before anybody goes on with it. What is left of its source is not known, so nothing is projected."""
    write_run(folder, False, lambda t: answered(t, ANSWER), options={})
    told = json.loads(cli("status", "job", "--json").out)
    assert (told["state"], told["totals"]["unknown"], told["money"]["unknown"]) == ("killed", 3, 2.5)
    assert told["money"]["projected"] is None


def test_without_a_price_status_counts_tokens(folder: Path, cli: Cli) -> None:
    """And says so."""
    unpriced = msgspec.structs.replace(ANSWER, cost=None)
    write_run(folder, True, lambda t: answered(t, unpriced))
    out = cli("status", "job").out
    assert "cost      unknown for 12 input and 3 output tokens" in out
    assert "no price is known for 1 of the answers" in out
    assert "¥" not in out


@pytest.mark.parametrize(
    ("attempts", "words"),
    [
        ((LOST, ANSWER), ["cost      ¥1.50", "e · key 2 · other", "ambiguous 502", "at most ¥0.2500"]),
        ((COPY, ANSWER), ["ambiguous (second copy)"]),
    ],
)
def test_show_tells_what_each_attempt_cost(
    folder: Path, cli: Cli, attempts: tuple[Attempt, ...], words: list[str]
) -> None:
    """Which key it was sent with, which other model was asked, and what may have been billed."""
    write_run(folder, True, lambda t: answered(t, *attempts))
    out = cli("show", "job", "k0").out
    assert [word for word in words if word not in out] == []


def test_a_failed_task_shows_what_it_may_have_cost(folder: Path, cli: Cli) -> None:
    """With what it did cost, where an attempt was paid for."""
    write_run(folder, True, lambda t: failed(t, LOST), lambda t: failed(t, LOST, ANSWER))
    assert "cost      " not in cli("show", "job", "k0").out
    assert "cost      ¥1.50" in cli("show", "job", "k1").out


@pytest.fixture
def mixed_run(folder: Path) -> None:
    """The run that `listening_run` works on: the one of this module."""
    write_run(folder, True, lambda t: answered(t, ANSWER))


def test_a_live_run_tells_what_is_reserved(cli: Cli, listening_run: ListeningRun) -> None:
    """As it says itself, in place of what its journal has."""
    money = {"currency": "USD", "spent": 1.0, "reserved": 0.5, "unknown": 0.25, "projected": 4.0, "budget": 5.0}
    listening_run.show(money=msgspec.convert(money, Money))
    assert json.loads(cli("status", "job", "--json").out)["money"] == money
    assert "reserved $0.5000, unknown $0.2500, projected $4.00" in cli("status", "job").out
