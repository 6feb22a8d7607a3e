"""Which observer a command gets: live on a terminal, lines in a pipe, JSON or next to nothing when asked."""

import os
import sys
from typing import TextIO

from penstock.events import Event, Finished, Observer
from penstock.observe.json_events import JsonObserver
from penstock.observe.last_words import last_words
from penstock.observe.lines import LineObserver
from penstock.observe.streams import SurvivingStream


class QuietObserver:
    """Says nothing but the last words."""

    interval_s = 3600.0

    def __init__(self, stream: TextIO, again: str) -> None:
        self._stream = SurvivingStream(stream)
        self._again = again

    def __call__(self, event: Event) -> None:
        """Write the last words when the run has ended."""
        if isinstance(event, Finished):
            self._stream.write_line(last_words(event, self._again))

    def close(self) -> None:
        """Nothing is held open."""


def make_observer(
    *, json: bool, quiet: bool, again: str, stderr: TextIO | None = None, stdout: TextIO | None = None
) -> Observer:
    """The observer for these options and streams, by default the program's own.

    JSON events go to `stdout`, everything else to `stderr`. `again` is the command that goes on with the run.
    """
    stderr, stdout = stderr or sys.stderr, stdout or sys.stdout
    if json:
        return JsonObserver(stdout)
    if quiet:
        return QuietObserver(stderr, again)
    if stderr.isatty() and os.environ.get("TERM") != "dumb":
        # Only here is rich imported: the other observers start without it.
        from penstock.observe.progress import live_progress

        return live_progress(stderr, again, stdout_is_terminal=stdout.isatty())
    return LineObserver(stderr, again)
