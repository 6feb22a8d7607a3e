"""`penstock export`: what a journal holds, written to any output at any time."""

import asyncio
import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from penstock.cli.runs import Home, RunName, find_folder, home_of, open_run
from penstock.errors import SinkError, UsageError
from penstock.options import Format, Order

if TYPE_CHECKING:
    from penstock.journal.reader import JournalReader
    from penstock.models import Settled
    from penstock.sinks.protocol import Sink

BATCH = 1000


def export(
    run: RunName,
    /,
    *,
    output: Annotated[
        tuple[str, ...],
        Parameter(
            name=("--output", "-o"),
            help="A .jsonl, .csv or .parquet file, or - for standard output. May be repeated.",
            metavar="PATH",
            negative=(),
            show_default="-",
            allow_leading_hyphen=True,
        ),
    ] = ("-",),
    format: Annotated[Format, Parameter(help="Lines of .jsonl outputs.")] = "penstock",
    order: Annotated[Order, Parameter(help="Order of the results.")] = "input",
    overwrite: Annotated[
        bool, Parameter(help="Replace output files that exist.", negative=(), show_default=False)
    ] = False,
    home: Home = None,
) -> None:
    """Write every result of a run to other outputs, at any time.

    Failed tasks go to a file beside each output, as in a run. A run that is still running is not disturbed; what it
    has settled so far is written.
    """
    from penstock.launch import run_sync
    from penstock.sinks.protocol import SinkOptions
    from penstock.sinks.registry import make_sinks

    folder = find_folder(home_of(home), run)
    sinks = make_sinks(output, SinkOptions(format, order, overwrite=overwrite))
    with open_run(folder) as reader:
        _refuse_files_in_use(sinks, set(reader.cursors()), overwrite=overwrite)
        answers, failed = run_sync(lambda: _export(reader, sinks, order))
    names = ["standard output" if sink.name == "-" else sink.name for sink in sinks]
    print(f"{answers:,} answers of {run} written to {', '.join(names)}; failed: {failed:,}.", file=sys.stderr)


async def _export(reader: "JournalReader", sinks: "Sequence[Sink]", order: Order) -> tuple[int, int]:
    answers = failed = 0
    try:
        for sink in sinks:
            await sink.open(None)
        for batch in _in_input_order(reader) if order == "input" else _in_order_of_commit(reader):
            answers += sum(settled.result.failure is None for settled in batch)
            failed += sum(settled.result.failure is not None for settled in batch)
            for sink in sinks:
                await sink.deliver(batch)
        for sink in sinks:
            await sink.finish(reader)
    except SinkError as error:
        if isinstance(error.__cause__, BrokenPipeError):
            raise error.__cause__ from None
        raise
    finally:
        await asyncio.gather(*(sink.aclose() for sink in sinks))
    return answers, failed


def _in_input_order(reader: "JournalReader") -> "Iterator[list[Settled]]":
    from penstock.models import Settled

    batch: list[Settled] = []
    for seq, result in enumerate(reader.in_order(), 1):
        batch.append(Settled(seq, result))
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _in_order_of_commit(reader: "JournalReader") -> "Iterator[list[Settled]]":
    """Up to what is committed now: a run that goes on must not keep the export from ending."""
    seq, last = 0, reader.last_seq()
    while seq < last and (batch := reader.after(seq, BATCH)):
        yield batch
        seq = batch[-1].seq


def _refuse_files_in_use(sinks: "Sequence[Sink]", outputs: set[str], *, overwrite: bool) -> None:
    own = {os.path.realpath(name) for name in outputs}
    for sink in sinks:
        for path in (sink.path, sink.failed_path):
            if path is None or not os.path.exists(path):
                continue
            if os.path.realpath(path) in own:
                raise UsageError(f"{path} is an output of the run itself.", "Export to another file.")
            if not overwrite and os.path.getsize(path):
                raise UsageError(f"{path} exists.", "Export to another file, or add --overwrite to replace it.")
