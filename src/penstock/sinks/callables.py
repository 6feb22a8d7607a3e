"""Any Python callable as a sink: it gets each result, failed ones too, at least once."""

import asyncio
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from penstock.errors import SinkError
from penstock.models import Result, Settled
from penstock.sinks.protocol import Cursor
from penstock.sinks.results import Results


class CallableSink:
    """Calls `function(result)` in the order in which results were settled, one call at a time.

    An async function runs on the run's event loop, any other in a thread. After a crash it gets the results of the
    batch that was under way again: `result.key` tells them.
    """

    path: Path | None = None
    failed_path: Path | None = None

    def __init__(self, function: Callable[[Result], Any], name: str | None = None) -> None:
        self.name = name or callable_name(function)
        self._function = function
        self._is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004 - whether calling it gives a coroutine
        )
        self._seq = 0

    async def open(self, cursor: Cursor | None) -> Cursor:
        """Go on from where it stood."""
        self._seq = cursor["seq"] if cursor else 0
        return {"seq": self._seq}

    async def deliver(self, batch: Sequence[Settled]) -> Cursor:
        """Call the function with each result of a batch."""
        if self._is_async:
            for settled in batch:
                await self._await(settled.result)
        else:
            await asyncio.to_thread(self._call_each, batch)
        self._seq = batch[-1].seq
        return {"seq": self._seq}

    async def finish(self, results: Results) -> Cursor:
        """Do nothing: the function had its results in the order of completion."""
        return {"seq": self._seq}

    async def aclose(self) -> None:
        """Do nothing: the function holds nothing of ours."""

    async def _await(self, result: Result) -> None:
        try:
            await self._function(result)
        except Exception as error:
            raise self._refusal(result, error) from error

    def _call_each(self, batch: Sequence[Settled]) -> None:
        for settled in batch:
            try:
                outcome = self._function(settled.result)
            except Exception as error:
                raise self._refusal(settled.result, error) from error
            if inspect.iscoroutine(outcome):
                outcome.close()
                raise SinkError(
                    f"{self.name} returned a coroutine that nobody awaits.", "Give the async function itself."
                )

    def _refusal(self, result: Result, error: Exception) -> SinkError:
        return SinkError(
            f"{self.name} raised {type(error).__name__} for the result of {result.key!r}: {error}",
            "Mend the function and start the run again: it gets this result again.",
        )


def callable_name(function: Callable[..., Any]) -> str:
    """What a person calls a callable: the module and name of a function, the type of any other object."""
    owner = function if hasattr(function, "__qualname__") else type(function)
    module = getattr(owner, "__module__", None)
    return f"{module}.{owner.__qualname__}" if module else owner.__qualname__
