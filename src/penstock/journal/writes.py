"""The changes that a running journal makes. Each is applied in the writer's thread and completed on the event loop."""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from penstock.errors import RunPaused
from penstock.journal import keys, schema
from penstock.journal.schema import Lost, Session
from penstock.journal.tally import Tally
from penstock.models import Position, Result, Settled, Task, Totals

FREE_SPACE = "Free some space, then run the same command again: nothing that was answered is asked again."

ResultRow = tuple[int, int, str, bytes, bytes]
"""Columns idx, current, status, record and body."""


class Accept:
    """Take consecutive tasks: their keys, then the chunk. `on_commit` gets how many tasks the run has taken then."""

    def __init__(self, tasks: Sequence[Task], position: Position, on_commit: Callable[[int], None]) -> None:
        self._tasks = tasks
        self._position = position
        self._on_commit = on_commit
        self._accepted: list[Task] = []
        self.done: asyncio.Future[list[Task]] = asyncio.get_running_loop().create_future()

    def apply(self, connection: sqlite3.Connection) -> None:
        """Insert them, those with a key seen before as errors."""
        first, count = self._tasks[0].index, len(self._tasks)
        self._accepted = list(self._tasks)
        if not keys.take(connection, [(task.key, task.index) for task in self._tasks]):
            self._accepted = [_with_own_key(connection, task) for task in self._tasks]
        connection.execute(
            "INSERT INTO chunks (first, count, position, tasks) VALUES (?, ?, ?, ?)",
            (first, count, schema.dump_json(self._position), schema.dump_tasks(self._accepted)),
        )

    def committed(self) -> None:
        """They are on disk and pending, whether or not somebody still waits to hear of it."""
        self._on_commit(self._tasks[-1].index + 1)
        if not self.done.done():
            self.done.set_result(self._accepted)

    def failed(self, error: Exception) -> None:
        """They were not taken."""
        if not self.done.done():
            self.done.set_exception(RunPaused(f"The journal does not take any more tasks: {error}.", FREE_SPACE))


class Settle:
    """Write results, in the order in which they came, and the totals with them."""

    def __init__(
        self,
        rows: Sequence[ResultRow],
        results: Sequence[Result],
        low_water: int,
        on_commit: Callable[["Settle"], None],
        on_failure: Callable[["Settle", Exception], None],
    ) -> None:
        self.rows = rows
        self.results = results
        self.totals = Totals()
        """As of this write, once it is applied."""
        self._low_water = low_water
        self._on_commit = on_commit
        self._on_failure = on_failure
        self._first = 0

    @property
    def settled(self) -> list[Settled]:
        """The results with their numbers, once they are applied."""
        return [Settled(seq, result) for seq, result in enumerate(self.results, self._first)]

    def apply(self, connection: sqlite3.Connection) -> None:
        """Insert them under the next numbers."""
        self._first = schema.last_seq(connection) + 1
        rows = [(seq, *row) for seq, row in enumerate(self.rows, self._first)]
        schema.insert_rows(connection, "INSERT INTO results (seq, idx, current, status, record, body)", "", rows)
        # Added to what stands there: a write before this one may have failed.
        tally = Tally(schema.load_totals(connection))
        for result in self.results:
            tally.add(result.status, result)
        self.totals = tally.totals()
        put_meta(connection, {"totals": self.totals, "low_water": self._low_water})

    def committed(self) -> None:
        """The results are on disk."""
        self._on_commit(self)

    def failed(self, error: Exception) -> None:
        """The results are in memory only."""
        self._on_failure(self, error)


class SaveCursor:
    """Write how far a sink got."""

    def __init__(self, sink: str, cursor: dict[str, Any]) -> None:
        self._values = (sink, schema.dump_json(cursor))

    def apply(self, connection: sqlite3.Connection) -> None:
        """Write it."""
        connection.execute("INSERT OR REPLACE INTO cursors (sink, cursor) VALUES (?, ?)", self._values)

    def committed(self) -> None:
        """A cursor that is durable needs no further step."""

    def failed(self, error: Exception) -> None:
        """A cursor that was lost makes its sink replay a little more, which it is built for."""


class Keep:
    """Write a value of `meta`."""

    def __init__(self, name: str, value: Any) -> None:
        self._values = {name: value}

    def apply(self, connection: sqlite3.Connection) -> None:
        """Write it."""
        put_meta(connection, self._values)

    def committed(self) -> None:
        """It is durable."""

    def failed(self, error: Exception) -> None:
        """The next process will not know of it. Results that find no place on the disk are what pauses a run."""


class Allow:
    """Raise what the session may have in flight. `on_commit` gets the session as it stands then."""

    def __init__(self, calls: int, amount: float, on_commit: Callable[[Session], None]) -> None:
        self._wanted = calls, amount
        self._on_commit = on_commit
        self._session: Session | None = None
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def apply(self, connection: sqlite3.Connection) -> None:
        """Write it. Two that overlap leave the larger of each."""
        session, (calls, amount) = schema.load_session(connection), self._wanted
        assert session is not None, "the session has ended"
        self._session = Session(session.pid, max(calls, session.calls), max(amount, session.amount))
        put_meta(connection, {"session": self._session})

    def committed(self) -> None:
        """So much may be in flight from here on."""
        assert self._session is not None, "it was never applied"
        self._on_commit(self._session)
        if not self.done.done():
            self.done.set_result(None)

    def failed(self, error: Exception) -> None:
        """It stays as it was."""
        if not self.done.done():
            self.done.set_exception(RunPaused(f"The journal does not take any more calls: {error}.", FREE_SPACE))


class Lose:
    """Count calls as unknown of which no result will tell, while the session goes on."""

    def __init__(
        self, lost: Lost, on_commit: Callable[["Lose"], None], on_failure: Callable[["Lose", Exception], None]
    ) -> None:
        self.lost = lost
        self.totals = Totals()
        """As of this write, once it is applied."""
        self._on_commit = on_commit
        self._on_failure = on_failure

    def apply(self, connection: sqlite3.Connection) -> None:
        """Add them to what stands there."""
        self.totals = schema.lose(schema.load_totals(connection), self.lost)
        put_meta(connection, {"totals": self.totals, "lost": schema.load_lost(connection).plus(self.lost)})

    def committed(self) -> None:
        """They are counted on disk."""
        self._on_commit(self)

    def failed(self, error: Exception) -> None:
        """They are counted in memory only."""
        self._on_failure(self, error)


class Barrier:
    """Nothing to write: a place in the order."""

    def __init__(self) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def apply(self, connection: sqlite3.Connection) -> None:
        """Nothing to write."""

    def committed(self) -> None:
        """Everything before is written, or has failed to be."""
        if not self.done.done():
            self.done.set_result(None)

    def failed(self, error: Exception) -> None:
        """The same."""
        self.committed()


def put_meta(connection: sqlite3.Connection, values: Mapping[str, Any]) -> None:
    """Write values of `meta`."""
    rows = [(name, schema.dump_json(value)) for name, value in values.items()]
    schema.insert_rows(connection, "INSERT OR REPLACE INTO meta (name, value)", "", rows)


def _with_own_key(connection: sqlite3.Connection, task: Task) -> Task:
    """The task, or, when an earlier one has its key, an error under a key of its own."""
    owner = keys.owner_of(connection, task.key)
    assert owner is not None, "a key that was taken has an owner"
    if owner == task.index:
        return task
    key = f"{task.key}#{task.index}"
    while not keys.take(connection, [(key, task.index)]):
        key += "#"
    error = task.error or f"{task.where}: the key {task.key!r} was used before, by row {owner + 1}"
    return msgspec.structs.replace(task, key=key, error=error)
