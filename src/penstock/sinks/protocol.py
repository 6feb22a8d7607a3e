"""What a sink of results promises."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from penstock.models import Settled
from penstock.options import Format, Order
from penstock.sinks.results import Results

Cursor = dict[str, Any]
"""How far a sink got, as plain JSON: `seq` of the last result that is durable in it, and what the sink needs to
find that place again (for a file its byte `offset`)."""


class SinkOptions(msgspec.Struct, frozen=True):
    """What the run asks of every sink that it makes; a sink for which a field means nothing ignores it."""

    format: Format = "penstock"
    order: Order = "input"
    overwrite: bool = False
    """The run begins anew: what an output file holds may go."""
    fsync: bool = False
    """`deliver` returns only when the results would survive a power loss."""
    keep_failed: bool = True
    """Failed tasks are kept in a file beside the output."""


class Sink(Protocol):
    """A consumer of committed results, in the order of `seq`.

    The journal keeps the cursor that each method returned last, that of `open` too; after a crash the sink is opened
    with it, cuts back whatever it holds beyond, and gets everything after `seq` again. Raises `SinkError` when it
    cannot take results now, and `UsageError` from `open` when it never will.
    """

    name: str
    """What a person calls it, and the name of its cursor in the journal."""

    @property
    def path(self) -> Path | None:
        """The file of answers; None where they go elsewhere."""
        ...

    @property
    def failed_path(self) -> Path | None:
        """The file of failed tasks; None where none is kept."""
        ...

    async def open(self, cursor: Cursor | None) -> Cursor:
        """Recover to `cursor` (None: never opened) and return where delivery must go on from.

        The returned cursor may lie before the given one, when the sink lost what it had: a `seq` of 0 means
        everything from the beginning.
        """
        ...

    async def deliver(self, batch: Sequence[Settled]) -> Cursor:
        """Take a batch, never empty, and return the new cursor when it is durable. Raises where it was not taken."""
        ...

    async def finish(self, results: Results) -> Cursor:
        """Put everything in input order at a clean end, and return the cursor that is valid from then on.

        `results` may be read in another thread. A sink for which order means nothing ignores them.
        """
        ...

    async def aclose(self) -> None:
        """Let go of files and connections. Safe to call twice."""
        ...
