"""Run very many language-model API calls: every answer kept, none bought twice.

    results = penstock.run(["prompt a", "prompt b"], model="gpt-4o")
    async for result in penstock.stream(rows, prompt="Summarise: {{ text }}", model="gpt-4o"): ...

Every option of the command line is a keyword; see `penstock.options.RunOptions`.
"""

from collections.abc import AsyncGenerator
from typing import Any

from penstock.errors import PenstockError, RunPaused, UsageError
from penstock.models import Attempt, Failure, Fault, Result, Status, Usage
from penstock.version import __version__

__all__ = [
    "Attempt",
    "Failure",
    "Fault",
    "PenstockError",
    "Result",
    "RunPaused",
    "Status",
    "Usage",
    "UsageError",
    "__version__",
    "run",
    "stream",
]


def run(source: Any, **options: Any) -> list[Result]:
    """Send every row of `source` and return every result, in input order; failures are results too.

    `source` is an iterable or async iterable of rows (a mapping, or a text that is the prompt), or what the command
    line takes: a path, a folder. `output` may hold callables beside paths; each is called with every result. With a
    `name` the run is kept, and the same call goes on with it after a crash; without one it is forgotten when it ends
    well. Works inside a running event loop too, in a thread of its own.

    Raises `UsageError` before anything is sent, and `RunPaused` when the run cannot go on; its message says how to
    resume.
    """
    from penstock.in_process import run as run_in_process

    return run_in_process(source, options)


def stream(source: Any, **options: Any) -> AsyncGenerator[Result, None]:
    """Send every row of `source` and give each result as it comes; as `run` in everything else.

    Runs on the event loop that iterates it. For a slow consumer results wait on disk, not in memory.
    """
    from penstock.in_process import stream as stream_in_process

    return stream_in_process(source, options)
