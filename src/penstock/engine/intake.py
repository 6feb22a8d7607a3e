"""Taking tasks: first those that an earlier process took and nobody settled, then fresh ones from the source.

Reading is a window: a chunk is taken when the dispatcher runs low, and nothing is handed on before the journal has it.
"""

from penstock.engine.dispatcher import Dispatcher
from penstock.engine.requests import to_task
from penstock.errors import RunPaused
from penstock.journal.journal import Journal
from penstock.sources.protocol import Source
from penstock.sources.registry import estimate_total

FIRST_CHUNK = 64
"""Rows in the first chunk: the first request leaves early."""
MAX_CHUNK = 1000


class Intake:
    """Feeds the dispatcher until the source ends, `limit` rows were taken, or the run stops.

    `source` is None where only tasks already taken are worked on.
    """

    def __init__(
        self, source: Source | None, journal: Journal, dispatcher: Dispatcher, key_field: str | None, limit: int | None
    ) -> None:
        self._source = source
        self._journal = journal
        self._dispatcher = dispatcher
        self._key_field = key_field
        self._limit = limit
        self._taken = journal.totals.accepted
        self._position = journal.position()
        self._chunk = FIRST_CHUNK
        self._ended = source is None

    @property
    def exhausted(self) -> bool:
        """Whether everything that the run is to take has been taken, by this process or earlier ones."""
        known = [count for count in (self._limit, self._source.total if self._source else None) if count is not None]
        return self._ended or any(self._taken >= count for count in known)

    def estimate_total(self) -> int | None:
        """How many tasks the run will have taken in the end; None where nothing can be said."""
        if self._source is None:
            return self._taken
        total = estimate_total(self._source, self._taken, self._position)
        return total if total is None or self._limit is None else min(total, self._limit)

    @property
    def total_is_estimate(self) -> bool:
        """Whether `estimate_total` goes by the bytes of a source that does not know how many rows it has."""
        return self._source is not None and self._source.total is None and not self.exhausted

    async def run(self) -> None:
        """Feed; return when there is nothing more to feed. What stops the source pauses the run."""
        await self._dispatcher.executor.open()
        try:
            await self._feed_pending()
            await self._feed_fresh()
        except RunPaused as trouble:
            self._dispatcher.pause(trouble)
        else:
            self._dispatcher.end_of_tasks()

    async def _feed_pending(self) -> None:
        while await self._room() and (tasks := await self._journal.load_pending()):
            self._dispatcher.add(tasks)

    async def _feed_fresh(self) -> None:
        while await self._room() and self._source is not None and (wanted := self._wanted()) > 0:
            chunk = await self._source.read(wanted)
            if chunk is None:
                self._ended = True
                return
            tasks = [to_task(row, index, self._key_field) for index, row in enumerate(chunk.rows, self._taken)]
            self._dispatcher.add(await self._journal.accept(tasks, chunk.position))
            self._taken += len(tasks)
            self._position = chunk.position
            self._chunk = min(MAX_CHUNK, self._chunk * 2)

    def _wanted(self) -> int:
        return self._chunk if self._limit is None else min(self._chunk, self._limit - self._taken)

    async def _room(self) -> bool:
        """Wait until the dispatcher runs low; False when it stops instead."""
        await self._dispatcher.low_on_tasks.wait()
        return not self._dispatcher.draining
