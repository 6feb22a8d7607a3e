"""`penstock verify`: the promises of a run, recomputed from disk."""

from typing import TYPE_CHECKING

from penstock.cli.runs import Home, RunName, find_folder, home_of, open_run
from penstock.errors import JournalError

if TYPE_CHECKING:
    from penstock.journal.verify import Verified

PROBLEMS_SHOWN = 20


def verify(run: RunName, /, *, home: Home = None) -> int:
    """Recompute from disk that nothing was lost and nothing delivered twice.

    The journal: every task that was taken is there, with one result or none, and its totals are true. The .jsonl and
    .csv outputs: each answer stands in them exactly once. Exit code 0 when all of it holds, 1 when something does not.
    """
    from penstock.cli.deliveries import check_outputs
    from penstock.journal.folder import JOURNAL_FILE
    from penstock.journal.lock import is_locked
    from penstock.journal.verify import verify as verify_journal

    folder = find_folder(home_of(home), run)
    running = is_locked(folder)
    try:
        verified = verify_journal(folder / JOURNAL_FILE)
    except JournalError as error:
        print(f"{run} is not sound.\n  {error}")
        return 1
    problems = list(verified.problems)
    notes = ["the run is running, so its outputs were not compared"] if running else []
    if not running and not problems:
        with open_run(folder) as reader:
            outputs = check_outputs(reader, verified)
        problems += outputs.problems
        notes += outputs.notes
    _print(run, verified, problems, notes)
    return 1 if problems else 0


def _print(run: str, verified: "Verified", problems: list[str], notes: list[str]) -> None:
    from penstock.observe.words import count

    totals = verified.totals
    if problems:
        print(f"{run} is not sound.")
    else:
        done = totals.ok + totals.partial
        print(
            f"verified: {count(totals.accepted)} tasks taken, {count(done)} answered, {count(totals.failed)} failed, "
            f"{count(totals.pending)} pending; none lost, none twice"
        )
    for problem in problems[:PROBLEMS_SHOWN]:
        print(f"  {problem}")
    if len(problems) > PROBLEMS_SHOWN:
        print(f"  … and {count(len(problems) - PROBLEMS_SHOWN)} more")
    for note in notes:
        print(f"  {note}")
