"""The journal's only writing connection, in a thread of its own, with group commit.

Writes queue up while a commit is under way and go into the next one together. A write is applied and, once its
transaction is durable, completed; completion is told to the event loop in the order of the writes.
"""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

MAX_WRITES_PER_COMMIT = 64


class Write(Protocol):
    """One change to the journal."""

    def apply(self, connection: sqlite3.Connection) -> None:
        """Make the change inside the open transaction. May run again when the transaction is rolled back."""
        ...

    def committed(self) -> None:
        """The change is durable. Called on the event loop."""
        ...

    def failed(self, error: Exception) -> None:
        """The change was not made. Called on the event loop."""
        ...


class Writer:
    """Applies writes in order, many to a transaction.

    When the disk is full the file `reserve` is given up once and the transaction tried again, so that what was already
    bought can still be kept; `on_full` is then called on the event loop.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        reserve: Path,
        on_full: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._reserve = reserve
        self._on_full = on_full
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[Write | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="penstock-journal", daemon=True)
        self._thread.start()

    def put(self, write: Write) -> None:
        """Queue a write."""
        self._queue.put(write)

    async def aclose(self) -> None:
        """Apply what is queued and end the thread."""
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _work(self) -> None:
        more = True
        while more:
            batch, more = self._next_batch()
            if not batch:
                continue
            try:
                self._commit(batch)
            except Exception as error:  # whatever it is, those who wait must hear of it
                self._tell([partial(write.failed, error) for write in batch])
            else:
                self._tell([write.committed for write in batch])

    def _next_batch(self) -> tuple[list[Write], bool]:
        batch: list[Write] = []
        write = self._queue.get()
        while write is not None:
            batch.append(write)
            if len(batch) == MAX_WRITES_PER_COMMIT or self._queue.empty():
                return batch, True
            write = self._queue.get()
        return batch, False

    def _commit(self, batch: Sequence[Write]) -> None:
        try:
            self._transact(batch)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_FULL or not self._reserve.exists():
                raise
            self._reserve.unlink()
            self._tell([self._on_full])
            self._transact(batch)

    def _transact(self, batch: Sequence[Write]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            for write in batch:
                write.apply(self._connection)
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def _tell(self, calls: Sequence[Callable[[], None]]) -> None:
        def call_all() -> None:
            for call in calls:
                call()

        self._loop.call_soon_threadsafe(call_all)
