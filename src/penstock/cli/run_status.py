"""How a run stands, read from its folder alone: it need not be running, and is not disturbed if it is."""

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from penstock.cli.again import go_on_command
from penstock.cli.runs import open_run
from penstock.errors import JournalError
from penstock.events import Money, Snapshot
from penstock.journal.lock import is_locked
from penstock.journal.reader import JournalReader
from penstock.models import Fault, Totals
from penstock.observe.last_words import how_to_retry


class State(StrEnum):
    """What is happening to a run."""

    RUNNING = "running"
    FINISHED = "finished"
    PAUSED = "paused"
    INTERRUPTED = "interrupted"
    KILLED = "killed"
    """Nobody works on it, and it never ended."""
    UNUSED = "not begun"
    """No task was ever taken: the command was refused."""
    DAMAGED = "damaged"
    """Its journal cannot be read."""


class Output(msgspec.Struct, frozen=True):
    """How far an output got: it has the first `delivered` of `results`, in the order of commit."""

    name: str
    delivered: int
    results: int


class RunStatus(msgspec.Struct, frozen=True):
    """One run. `changed_at` is in seconds since 1970 UTC; `go_on` and `retry` are commands, where they make sense.

    `pending` are tasks that were taken from the source and not settled; what was not yet read of it is not known.
    `live` is what a run that is working says of itself, `money` what the run costs: as it says, or as its journal has
    it, where nothing is projected before the source was read to its end.
    """

    run: str
    folder: str
    state: State
    changed_at: float
    totals: Totals = Totals()
    settled: int = 0
    pending: int = 0
    outputs: tuple[Output, ...] = ()
    reason: str | None = None
    go_on: str | None = None
    retry: str | None = None
    live: Snapshot | None = None
    money: Money | None = None


def read_status(folder: Path) -> RunStatus:
    """How the run in this folder stands."""
    changed_at = max(path.stat().st_mtime for path in _journal_files(folder))
    try:
        with open_run(folder) as reader:
            return _fold(folder, changed_at, reader)
    except JournalError as error:
        return RunStatus(folder.name, str(folder), State.DAMAGED, changed_at, reason=str(error))


def _fold(folder: Path, changed_at: float, reader: JournalReader) -> RunStatus:
    # The lock first: a run that ends in between is then told by its ending, not taken for a killed one.
    running = is_locked(folder)
    totals, ending = reader.totals() if running else reader.totals_if_killed(), reader.recall("ending")
    state = State.RUNNING if running else _state_of(totals, ending)
    last = reader.last_seq()
    return RunStatus(
        run=folder.name,
        folder=str(folder),
        state=state,
        changed_at=changed_at if running or ending is None else ending["at"],
        totals=totals,
        settled=totals.settled,
        pending=totals.pending,
        outputs=tuple(Output(name, cursor["seq"], last) for name, cursor in reader.cursors().items()),
        reason=None if running or ending is None else ending.get("reason"),
        go_on=go_on_command(folder, reader) if state in (State.PAUSED, State.INTERRUPTED, State.KILLED) else None,
        retry=None if running else _retry(folder, totals, reader),
        money=_money(totals, reader),
    )


def with_money_of(run: RunStatus, live: Snapshot | None) -> RunStatus:
    """The run with the money that it says is in flight, where it says so."""
    return run if live is None or live.money is None else msgspec.structs.replace(run, money=live.money)


def _retry(folder: Path, totals: Totals, reader: JournalReader) -> str | None:
    """What sends the failed tasks again, where that may help: the same choice as in the last words of the run."""
    if not totals.failed:
        return None
    failures = reader.failures() if totals.faults.get(Fault.REJECTED) else ()
    bad_rows = sum(result.failure is not None and result.failure.code == "bad_row" for result in failures)
    found = how_to_retry(folder, totals, bad_rows)
    return found[1] if found else None


def _money(totals: Totals, reader: JournalReader) -> Money:
    options, ending = reader.recall("options") or {}, reader.recall("ending") or {}
    whole = ending.get("exhausted") or reader.recall("exhausted")
    projected = totals.cost / totals.settled * totals.accepted if whole and totals.settled else None
    return Money(totals.currency, totals.cost, 0.0, totals.unknown_cost, projected, options.get("budget"))


def _state_of(totals: Totals, ending: dict[str, Any] | None) -> State:
    if ending is not None:
        return State(ending["ending"])
    return State.KILLED if totals.accepted else State.UNUSED


def _journal_files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.glob("journal.db*") if not path.name.endswith("-shm"))
