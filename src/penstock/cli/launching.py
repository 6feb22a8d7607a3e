"""Starting a run from a command: its progress on the terminal, its signals handled, its ending an exit code."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from penstock.errors import UsageError
from penstock.options import RunOptions

if TYPE_CHECKING:
    from penstock.events import Event, Finished, Observer

BAD_ROWS_SHOWN = 3


def launch_from_terminal(source: str | None, options: RunOptions, *, json: bool, quiet: bool) -> int:
    """Do a run over `source`, or over what failed where that is None, and return the exit code."""
    if json and "-" in options.output:
        raise UsageError(
            "--json and the output - would both write to standard output.",
            "Give the results a file with -o, or leave out --json.",
        )
    from penstock.launch import launch, run_sync
    from penstock.observe.observers import make_observer

    observer = _BadRowsTold(make_observer(json=json, quiet=quiet, again=_command_to_go_on(sys.argv[1:])))
    finished = run_sync(
        lambda: launch(source, options, observers=[observer], handle_signals=True, retry_failures=source is None)
    )
    return finished.exit_code


def _command_to_go_on(arguments: Sequence[str]) -> str:
    """What was typed, and not what the journal remembers: that knows no pipe, and no options of a retry.

    Without `--fresh`, which would throw away what is to be gone on with.
    """
    return shlex.join(["penstock", *(argument for argument in arguments if argument != "--fresh")])


class _BadRowsTold:
    """An observer whose last event also tells of the rows that were never sent, as the journal has them."""

    def __init__(self, observer: "Observer") -> None:
        self.interval_s = observer.interval_s
        self.close = observer.close
        self._observer = observer

    def __call__(self, event: "Event") -> None:
        from penstock.events import Finished

        self._observer(_with_bad_rows(event) if isinstance(event, Finished) else event)


def _with_bad_rows(finished: "Finished") -> "Finished":
    from penstock.cli.runs import open_run
    from penstock.models import Fault

    if not finished.totals.faults.get(Fault.REJECTED):
        return finished
    number, examples = 0, []
    with open_run(Path(finished.home)) as reader:
        for result in reader.failures():
            if result.failure is None or result.failure.code != "bad_row":
                continue
            number += 1
            if number <= BAD_ROWS_SHOWN:
                examples.append(f"{result.where}: {result.failure.message}")
    return msgspec.structs.replace(finished, bad_rows=number, examples=tuple(examples))
