"""Runs inside a Python program: rows in, results out."""

import asyncio
import os
import uuid
from collections.abc import AsyncGenerator, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from penstock.engine.delivery import reader_of
from penstock.errors import RunPaused, UsageError
from penstock.events import Ending, Finished
from penstock.journal.folder import delete_run
from penstock.launch import launch, run_sync
from penstock.models import Result
from penstock.options import RunOptions, resolve_options
from penstock.sinks.callables import CallableSink
from penstock.sinks.protocol import Sink, SinkOptions
from penstock.sinks.registry import make_sinks


def run(source: Any, options: dict[str, Any]) -> list[Result]:
    """Do the run and return its results in input order."""
    settings, sinks, kept = _prepare(options)
    finished = run_sync(lambda: launch(source, settings, sinks=sinks))
    _raise_if_stopped(finished)
    folder = Path(finished.home)
    with closing(reader_of(folder)) as reader:
        results = list(reader.in_order())
    if not kept:
        delete_run(folder)
    return results


async def stream(source: Any, options: dict[str, Any]) -> AsyncGenerator[Result, None]:
    """Do the run and give its results as they come; for a slow consumer they wait in the journal."""
    settings, sinks, kept = _prepare(options)
    results: asyncio.Queue[Result | None] = asyncio.Queue()

    async def hand_over(result: Result) -> None:
        results.put_nowait(result)
        # Until the consumer asks for the next one: only what it has had counts as delivered.
        await results.join()

    sinks.append(CallableSink(hand_over, name="stream"))
    work = asyncio.create_task(launch(source, settings, sinks=sinks))
    work.add_done_callback(lambda _: results.put_nowait(None))
    try:
        while (result := await results.get()) is not None:
            yield result
            results.task_done()
        _raise_if_stopped(await work)
    finally:
        left_early = work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        if not kept and (left_early or _ended_well(work)):
            delete_run(Path(settings.home) / str(settings.name))


def _ended_well(work: asyncio.Task[Finished]) -> bool:
    return not work.cancelled() and work.exception() is None and work.result().ending is Ending.FINISHED


def _prepare(options: dict[str, Any]) -> tuple[RunOptions, list[Sink], bool]:
    known = set(RunOptions.__struct_fields__)
    if unknown := sorted(set(options) - known):
        raise UsageError(f"There is no option {unknown[0]!r}.", f"Options: {', '.join(sorted(known))}.")
    given = options.get("output") or ()
    outputs = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]
    paths = tuple(str(output) for output in outputs if not callable(output))
    plain = {name: str(value) if isinstance(value, os.PathLike) else value for name, value in options.items()}
    settings = resolve_options(plain | {"output": paths or None})
    kept = settings.name is not None
    settings = msgspec.structs.replace(settings, name=settings.name or f"python-{uuid.uuid4().hex[:12]}")
    return settings, make_sinks(filter(callable, outputs), SinkOptions()), kept


def _raise_if_stopped(finished: Finished) -> None:
    if finished.ending is not Ending.FINISHED:
        reason = finished.reason or "The run was stopped."
        raise RunPaused(
            f"{reason} {finished.totals.settled} of {finished.totals.accepted} tasks are settled and kept.",
            f"{finished.hint or ''} Go on with name={finished.run!r}.".strip(),
        )
