"""How commands print what they found: a table, or facts with a label in front."""

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from penstock.redaction import printable

if TYPE_CHECKING:
    from rich.console import Console

LABEL = 10
PIPE_WIDTH = 1000
"""A pipe has no edge at which lines must break."""


def make_console(pipe_width: int = PIPE_WIDTH) -> "Console":
    """Standard output, printing text as it is: nothing in it is markup, an emoji name or a number to be coloured."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else pipe_width
    return Console(markup=False, emoji=False, highlight=False, width=width)


def took(milliseconds: float) -> str:
    """A time that is often short: "34 ms", "1.2 s"."""
    from penstock.observe.words import duration

    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else duration(milliseconds / 1000)


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]], numbers: Iterable[str] = ()) -> None:
    """Rows under headings; the columns named in `numbers` stand flush right."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in headings:
        table.add_column(heading, justify="right" if heading in set(numbers) else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    make_console().print(table)


def print_facts(facts: Iterable[tuple[str, str]]) -> None:
    """A line per fact, or more where it has more; a label is not repeated."""
    for label, text in facts:
        first, *more = printable(text).splitlines() or [""]
        print(f"{label:<{LABEL}}{first}".rstrip())
        for line in more:
            print(f"{'':<{LABEL}}{line}".rstrip())
