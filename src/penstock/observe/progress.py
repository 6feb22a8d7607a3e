"""Progress on a terminal: a small panel that is redrawn in place and gives way to the last words."""

from collections.abc import Iterable, Sequence
from typing import TextIO, cast

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from penstock.events import Event, Finished, Notice, ScopeStatus, Snapshot, Started
from penstock.observe.last_words import last_words
from penstock.observe.rates import RateMeter, Rates
from penstock.observe.streams import SurvivingStream
from penstock.observe.words import beside_spent, count, duration, is_unpriced, of_budget, of_total, rate, scope
from penstock.redaction import printable_line

WIDTH = 76
"""Wider terminals get no wider panel: numbers far apart are hard to read together."""
LABEL = 10
TWO_COLUMNS = 52
"""Terminals narrower than this get one column of numbers."""
SCOPES_SHOWN = 4
"""The rest of them are in `penstock status`."""


class LiveProgress:
    """Redraws the panel at every snapshot. `again` is the command that goes on with the run."""

    interval_s = 0.25

    def __init__(self, console: Console, again: str, *, stdout_is_terminal: bool = False) -> None:
        self._console = console
        self._again = again
        self._stdout_is_terminal = stdout_is_terminal
        self._meter = RateMeter()
        self._title = Text()
        # Redrawn by events only, and stdout left alone: results may be on their way through it.
        self._live = Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False)

    def __call__(self, event: Event) -> None:
        """Show what `event` says."""
        match event:
            case Started():
                self._title = title(event)
                if not self._results_pass_by(event):
                    self._live.start()
            case Notice():
                self._console.print(notice(event))
            case Snapshot() if self._live.is_started:
                shown = panel(self._title, event, self._meter.update(event), self._console.width)
                self._live.update(shown, refresh=True)
            case Finished():
                self.close()
                self._console.out(last_words(event, self._again), highlight=False)

    def close(self) -> None:
        """Remove the panel and give the cursor back. Safe to call twice."""
        self._live.stop()

    def _results_pass_by(self, started: Started) -> bool:
        """Whether the answers themselves go to the terminal, where a panel would overwrite them."""
        return self._stdout_is_terminal and "-" in started.outputs


def live_progress(stderr: TextIO, again: str, *, stdout_is_terminal: bool) -> LiveProgress:
    """A live display on the terminal behind `stderr`."""
    console = Console(file=cast(TextIO, SurvivingStream(stderr)))
    return LiveProgress(console, again, stdout_is_terminal=stdout_is_terminal)


def title(started: Started) -> Text:
    """The run, its source and the endpoint on one line."""
    words = Text(printable_line(started.run), style="bold", no_wrap=True, overflow="ellipsis")
    resumed = f", {count(started.settled)} settled before" if started.settled else ""
    return words.append(" · " + printable_line(f"{started.source} → {started.endpoint}{resumed}"), style="not bold dim")


def notice(event: Notice) -> Text:
    """A notice as a line of its own above the panel."""
    style = "yellow" if event.level == "warning" else ""
    return Text(f"{event.level}: {printable_line(event.message)}", style=style)


def panel(title: Text, snapshot: Snapshot, rates: Rates, console_width: int) -> RenderableType:
    """Everything a person watches, as wide as the terminal allows."""
    width = min(WIDTH, console_width)
    parts: list[RenderableType] = [title, _numbers(snapshot, rates, width), _lines(snapshot, width)]
    if snapshot.total:
        parts.insert(1, _bar(snapshot.totals.settled, snapshot.total, rates.left_s, width))
    return Group(*parts)


def _bar(settled: int, total: int, left_s: float | None, width: int) -> Table:
    left = "" if left_s is None else f"{duration(left_s)} left"
    bar = ProgressBar(total=total, completed=settled, complete_style="cyan", finished_style="green")
    grid = Table.grid(padding=(0, 1))
    grid.width = width
    grid.add_column(ratio=1)
    grid.add_column(width=len("100 %"), justify="right")
    grid.add_column(width=len("23 h 59 min left"), justify="right")
    grid.add_row(bar, f"{min(100 * settled // total, 100)} %", Text(left, style="dim"))
    return grid


def _numbers(snapshot: Snapshot, rates: Rates, width: int) -> Table:
    totals = snapshot.totals
    pairs = [
        ("done", Text(count(totals.ok + totals.partial) + of_total(snapshot))),
        ("failed", Text(count(totals.failed), style="red" if totals.failed else "")),
        ("in flight", Text(f"{count(snapshot.in_flight)} of {count(snapshot.limit)}")),
        ("waiting", Text(count(snapshot.waiting))),
        ("requests", Text(f"{rate(rates.responses_per_s)} /s")),
        ("tokens", Text(f"{rate(rates.tokens_per_s)} /s")),
        _cost(snapshot),
        ("elapsed", Text(duration(snapshot.elapsed_s))),
    ]
    across = 2 if width >= TWO_COLUMNS else 1
    grid = _grid(width // across, across)
    for first in range(0, len(pairs), across):
        grid.add_row(*(cell for pair in pairs[first : first + across] for cell in pair))
    return grid


def _cost(snapshot: Snapshot) -> tuple[str, Text]:
    """What was spent, or else the tokens that nobody knows a price of."""
    usage = snapshot.totals.usage
    if is_unpriced(snapshot.totals):
        return "used", Text(f"{count(usage.input_tokens + usage.output_tokens)} tokens")
    return "cost", Text(of_budget(snapshot.totals, snapshot.money))


def _lines(snapshot: Snapshot, width: int) -> Table:
    """What needs the whole width: the rest of the money, what binds, and each scope where there are several."""
    grid = _grid(width)
    if snapshot.money is not None and (beside := beside_spent(snapshot.money)):
        grid.add_row("money", Text(", ".join(beside)))
    grid.add_row("limit", Text(printable_line(snapshot.binds)))
    if len(snapshot.scopes) > 1:
        for label, words in _scopes(snapshot.scopes):
            grid.add_row(label, Text(words))
    return grid


def _scopes(scopes: Sequence[ScopeStatus]) -> Iterable[tuple[str, str]]:
    """The busiest first."""
    ranked = sorted(scopes, key=lambda status: -status.in_flight)
    words = [scope(status) for status in ranked[:SCOPES_SHOWN]]
    if len(ranked) > SCOPES_SHOWN:
        words.append(f"… and {count(len(ranked) - SCOPES_SHOWN)} more")
    return zip(("scopes", *[""] * SCOPES_SHOWN), words, strict=False)


def _grid(width: int, across: int = 1) -> Table:
    """Pairs of a label and a value, `width` wide each, `across` of them side by side."""
    grid = Table.grid()
    for _ in range(across):
        grid.add_column(width=LABEL, style="dim", no_wrap=True)
        grid.add_column(width=width - LABEL)
    return grid
