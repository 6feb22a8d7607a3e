"""`penstock prune`: deleting the records of runs, never their outputs."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from penstock.cli.runs import Home, find_folder, home_of, run_folders
from penstock.errors import RunLocked, UsageError

if TYPE_CHECKING:
    from penstock.cli.run_status import RunStatus

DAY_S = 86_400


def prune(
    *runs: Annotated[str, Parameter(help="Names of runs; without any, every run that finished.")],
    older_than: Annotated[
        float | None, Parameter(help="Only runs that have not changed for so many days.", metavar="DAYS")
    ] = None,
    yes: Annotated[bool, Parameter(help="Do not ask.", negative=(), show_default=False)] = False,
    home: Home = None,
) -> None:
    """Delete the records of runs that are no longer needed.

    Outputs stay. A run that is deleted cannot be gone on with, retried or exported any more. Runs that did not finish
    are deleted only by name, and one that is running not at all.
    """
    chosen = _choose(runs, home_of(home), older_than)
    if not chosen:
        print("There is nothing to delete.")
        return
    _print(chosen)
    if yes or _agreed(len(chosen)):
        for run in chosen:
            _delete(Path(run.folder))
        print(f"Deleted {len(chosen)}.")


def _choose(names: tuple[str, ...], home: str, older_than: float | None) -> "list[RunStatus]":
    from penstock.cli.run_status import State, read_status

    folders = [find_folder(home, name) for name in dict.fromkeys(names)] if names else run_folders(home)
    found = [read_status(folder) for folder in folders]
    if names and (running := [run.run for run in found if run.state is State.RUNNING]):
        raise RunLocked(f"A process is working on the run {running[0]!r}.", "Stop it first, or leave this run out.")
    oldest = time.time() - (older_than or 0) * DAY_S
    return [run for run in found if run.changed_at <= oldest and (names or run.state is State.FINISHED)]


def _print(runs: "list[RunStatus]") -> None:
    from penstock.cli.display import print_table
    from penstock.observe.words import count, duration

    rows = [
        (
            run.run,
            run.state,
            count(run.settled),
            count(run.totals.failed),
            f"{duration(max(0.0, time.time() - run.changed_at))} ago",
            f"{_size(Path(run.folder)) / 1e6:,.1f} MB",
        )
        for run in runs
    ]
    print_table(("run", "state", "settled", "failed", "last change", "size"), rows, ("settled", "failed", "size"))


def _agreed(count: int) -> bool:
    if not sys.stdin.isatty():
        raise UsageError("Nothing was deleted: there is no terminal to ask on.", "Add --yes to delete these runs.")
    try:
        answer = input(f"Delete {count}? Outputs stay. [y/N] ")
    except EOFError:
        return False
    return answer.strip().lower() in ("y", "yes")


def _size(folder: Path) -> int:
    from penstock.journal.folder import own_files

    return sum(path.stat().st_size for path in own_files(folder))


def _delete(folder: Path) -> None:
    from penstock.journal.folder import delete_run

    if not delete_run(folder):
        print(f"{folder} was kept: it holds files that are not of the run.", file=sys.stderr)
