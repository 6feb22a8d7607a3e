"""Standard output as a sink: the answers of this run as JSON Lines, from the first, every time the run is started."""

import asyncio
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from penstock.errors import SinkError
from penstock.models import Settled, Status
from penstock.sinks.jsonl import ENCODERS
from penstock.sinks.protocol import Cursor, SinkOptions
from penstock.sinks.results import Results


class StdoutSink:
    """Answers, whole and partial. Failed tasks are not printed, so that what is printed is all of one kind."""

    name = "-"
    path: Path | None = None
    failed_path: Path | None = None

    def __init__(self, options: SinkOptions, stream: BinaryIO | None = None) -> None:
        self._stream = stream or sys.stdout.buffer
        self._encode = ENCODERS[options.format]
        self._seq = 0
        self._busy = threading.Lock()

    async def open(self, cursor: Cursor | None) -> Cursor:
        """Begin from the beginning: whoever read the earlier output is gone."""
        self._seq = 0
        return {"seq": 0}

    async def deliver(self, batch: Sequence[Settled]) -> Cursor:
        """Print a batch."""
        return await asyncio.to_thread(self._deliver, batch)

    async def finish(self, results: Results) -> Cursor:
        """Do nothing: what is printed stays in the order of completion."""
        return {"seq": self._seq}

    async def aclose(self) -> None:
        """Leave the stream open: it is the program's."""

    def _deliver(self, batch: Sequence[Settled]) -> Cursor:
        results = (settled.result for settled in batch)
        lines = b"".join(self._encode(result) + b"\n" for result in results if result.status is not Status.FAILED)
        with self._busy:
            try:
                self._stream.write(lines)
                self._stream.flush()
            except BrokenPipeError as error:
                raise SinkError(
                    "Standard output was closed by the program that read it.",
                    "Run the same command again: it prints from the beginning, and no answer is bought again.",
                ) from error
            except OSError as error:
                raise SinkError(
                    f"Standard output cannot be written: {error.strerror}.",
                    "Mend that and run the same command again. No answer is lost.",
                ) from error
            self._seq = batch[-1].seq
        return {"seq": self._seq}
