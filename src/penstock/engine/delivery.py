"""Bringing committed results to one sink, in order, and remembering in the journal how far it got.

Results come live from the journal's commits. A sink that falls behind reads them from the journal instead, so that a
slow one costs no memory, and one that is new to the run is filled from the beginning.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from penstock.engine.answers import answer_of
from penstock.journal.folder import JOURNAL_FILE
from penstock.journal.journal import Journal
from penstock.journal.reader import JournalReader
from penstock.models import Result, Settled
from penstock.sinks.protocol import Cursor, Sink

BATCH = 1000
LINGER_S = 0.05
"""Pause between batches, so that a fast run makes few large ones; every batch costs a sink a thread and a write."""
LIVE_MAX_BYTES = 32 * 1024 * 1024
"""Results kept in memory for a sink that is behind."""
RESULT_BYTES = 1500
"""What a result takes besides its row and its answer."""


class Delivery:
    """One sink of one run. `open` and `run` raise `SinkError` when the sink does not take results."""

    def __init__(self, sink: Sink, journal: Journal) -> None:
        self.sink = sink
        self._journal = journal
        self._reader = reader_of(journal.folder)
        self._live: deque[Settled] = deque()
        self._live_bytes = 0
        self._cursor: Cursor = {"seq": 0}
        self._committed = 0
        self._news = asyncio.Event()
        self._caught_up = asyncio.Event()
        self._last = asyncio.Event()

    async def open(self) -> None:
        """Recover the sink to what the journal says it has."""
        self._cursor = await self.sink.open(self._journal.cursor(self.sink.name))
        self._journal.save_cursor(self.sink.name, self._cursor)
        self._committed = self._reader.last_seq()

    def offer(self, batch: Sequence[Settled]) -> None:
        """Results were committed."""
        self._committed = batch[-1].seq
        self._live_bytes += sum(_size(settled.result) for settled in batch)
        self._live.extend(batch)
        if self._live_bytes > LIVE_MAX_BYTES:
            self._live.clear()
            self._live_bytes = 0
        self._caught_up.clear()
        self._news.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        while True:
            while (committed := self._committed) > self._cursor["seq"]:
                if batch := await self._next_batch():
                    self._cursor = await self.sink.deliver(batch)
                else:
                    self._cursor = {**self._cursor, "seq": committed}
                self._journal.save_cursor(self.sink.name, self._cursor)
            self._caught_up.set()
            self._news.clear()
            await self._news.wait()
            await self._linger()

    async def caught_up(self) -> None:
        """Return once everything committed is delivered."""
        self._last.set()
        self._news.set()
        self._caught_up.clear()
        await self._caught_up.wait()

    async def _linger(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._last.wait(), LINGER_S)

    async def finish(self) -> None:
        """Tell the sink that the run ended well. Only when caught up."""
        cursor = await self.sink.finish(self._reader)
        self._journal.save_cursor(self.sink.name, cursor)

    async def aclose(self) -> None:
        """Close the sink. Safe to call twice."""
        await self.sink.aclose()
        self._reader.close()

    async def _next_batch(self) -> Sequence[Settled]:
        seq = self._cursor["seq"]
        while self._live and self._live[0].seq <= seq:
            self._live.popleft()
        if self._live and self._live[0].seq == seq + 1:
            batch, self._live = list(self._live), deque()
            self._live_bytes = 0
            return batch
        return await asyncio.to_thread(self._reader.after, seq, BATCH)


def _size(result: Result) -> int:
    return len(result.raw) + len(result.body) + RESULT_BYTES


def reader_of(folder: Path) -> JournalReader:
    """A reader of the run in `folder`, for folds over it."""
    return JournalReader(folder / JOURNAL_FILE, answer_of)
