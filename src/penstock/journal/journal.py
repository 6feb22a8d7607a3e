"""The run's record on disk and the single truth about it: what was taken, what was settled, how far each sink got.

Order of durability: `accept` returns once tasks are on disk, before anything of them is sent; a settled result is
announced by `on_commit` once it is on disk, before any sink sees it. A killed process leaves both as they were.
"""

import asyncio
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from penstock.errors import RunPaused, UsageError
from penstock.journal import reserve, schema
from penstock.journal.folder import JOURNAL_FILE
from penstock.journal.lock import RunLock
from penstock.journal.reader import JournalReader
from penstock.journal.recent import Sent
from penstock.journal.schema import AnswerOf, Lost, Session
from penstock.journal.tally import billed, billed_cost
from penstock.journal.writer import Write, Writer
from penstock.journal.writes import (
    FREE_SPACE,
    Accept,
    Allow,
    Barrier,
    Keep,
    Lose,
    ResultRow,
    SaveCursor,
    Settle,
    put_meta,
)
from penstock.models import Position, Result, Settled, Task, Totals
from penstock.options import Durability

GROUP_COMMIT_S = 0.01
"""Results wait at most this long for others to be committed with, and less when they hold half of the places."""


class Journal:
    """One run's journal, open for writing by this process alone.

    `on_commit` gets every committed batch, in order, on the event loop. `on_trouble` gets a `RunPaused` when the disk
    does not take any more; what is in flight can still be settled then, out of space kept in reserve. `given_up` are
    attempts of tasks that stay pending which may have been billed, `given_up_cost` what they may cost at most; they
    are counted when the session ends.
    """

    def __init__(
        self,
        folder: Path,
        answer_of: AnswerOf,
        durability: Durability = "normal",
        window: int = 1,
    ) -> None:
        """Lock the run and open or create its journal; recover from a crash of the process before.

        `window` is how many calls may be in flight, or landed and not committed, until `allow` says otherwise; after
        a crash, at most so many were. Raises `RunLocked`, `JournalError`, or `RunPaused` when the disk is full already.
        """
        _make_folder(folder)
        self.folder = folder
        self._session = Session(os.getpid(), window)
        self._unread = 0
        self.killed_calls = 0
        """Calls that the process before may have had in flight when it was killed."""
        self._totals = Totals()
        self._accepted = 0
        with _pausing(folder), ExitStack() as opening:
            opening.enter_context(RunLock(folder))
            self._db = opening.enter_context(closing(schema.connect_writer(folder / JOURNAL_FILE, durability)))
            self._reader = opening.enter_context(closing(JournalReader(folder / JOURNAL_FILE, answer_of)))
            self._reserve = reserve.allocate(folder / "reserve", window)
            opening.callback(self._reserve.unlink, missing_ok=True)
            self._recover()
            self._settled_before = self._reader.last_seq()
            self._closing = opening.pop_all()
        self.on_commit: Callable[[list[Settled]], None] = lambda batch: None
        self.on_trouble: Callable[[RunPaused], None] = lambda trouble: None
        self.given_up = 0
        self.given_up_cost = 0.0
        self._unwritten_loss = Lost()
        self._writer: Writer | None = None
        self._closed: asyncio.Future[None] | None = None
        self._unsettled: dict[int, None] = {}
        self._rows: list[ResultRow] = []
        self._results: list[Result] = []
        self._unwritten: list[Settle] = []
        self._flush_timer: asyncio.TimerHandle | None = None

    # What is known

    @property
    def totals(self) -> Totals:
        """The totals of what is committed."""
        return msgspec.structs.replace(self._totals, accepted=self._accepted)

    @property
    def allowed(self) -> tuple[int, float]:
        """How many calls may be in flight, or landed and not committed, and what they may cost at most."""
        return self._session.calls, self._session.amount

    def recall(self, name: str) -> Any:
        """A value kept by `remember`; None where there is none."""
        return schema.load_meta(self._db, name)

    def position(self) -> Position | None:
        """Where the source stands after everything that was taken; None at the beginning."""
        row = self._db.execute("SELECT position FROM chunks ORDER BY first DESC LIMIT 1").fetchone()
        return schema.load_json(row[0]) if row else None

    def cursor(self, sink: str) -> dict[str, Any] | None:
        """How far a sink got; None for one that is new to this run."""
        row = self._db.execute("SELECT cursor FROM cursors WHERE sink = ?", (sink,)).fetchone()
        return schema.load_json(row[0]) if row else None

    def sent_since(self, since: float, now: float) -> list[Sent]:
        """The calls of earlier processes since a unix time that settled results tell of, the newest first."""
        return self._reader.sent_since(self._settled_before, since, now)

    # Before the run: on this thread

    def remember(self, name: str, value: Any) -> None:
        """Keep a value, at once. Only before `start`. Raises `RunPaused` when the disk does not take it."""
        with _pausing(self.folder):
            put_meta(self._db, {name: value})

    def reopen_failures(self) -> int:
        """Make every failed task pending again; how many there were. Only before `start`."""
        (count, first) = self._db.execute(
            "SELECT count(*), min(idx) FROM results WHERE current AND status = 'failed'"
        ).fetchone()
        if count == 0:
            return 0
        with _pausing(self.folder):
            self._totals = msgspec.structs.replace(self._totals, failed=0, faults={})
            self._unread = min(self._unread, first)
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("UPDATE results SET current = 0 WHERE current AND status = 'failed'")
            put_meta(self._db, {"totals": self._totals, "low_water": self._unread})
            self._db.execute("COMMIT")
        return int(count)

    # While running: on the event loop

    def start(self) -> None:
        """Begin a session: from here on a killed process is known to have had calls in flight.

        Raises `RunPaused` when the disk does not take that.
        """
        with _pausing(self.folder):
            self._begin_session()
        self._writer = Writer(self._db, self._reserve, self._disk_is_full)

    async def load_pending(self) -> list[Task]:
        """The next tasks that an earlier process took and nobody settled; empty when there are no more."""
        first = self._unread
        tasks, self._unread = await asyncio.to_thread(self._reader.pending_from, first)
        self._unsettled.update(dict.fromkeys(task.index for task in tasks))
        return tasks

    async def accept(self, tasks: Sequence[Task], position: Position) -> list[Task]:
        """Take consecutive tasks, durably; the same tasks, those with a key seen before marked as errors.

        Raises `RunPaused` when the disk does not take them.
        """
        accept = Accept(tasks, position, self._set_accepted)
        self._put(accept)
        accepted = await accept.done
        self._unread = accepted[-1].index + 1
        self._unsettled.update(dict.fromkeys(task.index for task in accepted))
        return accepted

    async def allow(self, calls: int, amount: float = 0.0) -> None:
        """Raise what may be in flight, durably, before it is: after a crash so much is counted as unknown.

        It is never lowered before the session ends. Raises `RunPaused` when the disk does not take it.
        """
        if calls <= self._session.calls and amount <= self._session.amount:
            return
        await asyncio.to_thread(reserve.grow, self._reserve, calls)
        allow = Allow(calls, amount, self._set_session)
        self._put(allow)
        await allow.done

    def settle(self, result: Result) -> None:
        """Write a task's result with the next commit."""
        self._results.append(result)
        self._rows.append((result.index, 1, result.status.value, schema.dump_record(result), result.body))
        if len(self._rows) * 2 >= self._session.calls:
            self._flush()
        elif self._flush_timer is None:
            self._flush_timer = asyncio.get_running_loop().call_later(GROUP_COMMIT_S, self._flush)

    def keep(self, name: str, value: Any) -> None:
        """Write a value with the next commit."""
        self._put(Keep(name, value))

    def lose(self, calls: int, amount: float, on_commit: Callable[[], None]) -> None:
        """Count calls as unknown that were lost with what made them, durably; then `on_commit` is called.

        Those that the disk does not take are counted when the session ends, and called back for never.
        """

        def committed(write: Lose) -> None:
            self._totals = write.totals
            on_commit()

        def failed(write: Lose, error: Exception) -> None:
            self._unwritten_loss = self._unwritten_loss.plus(write.lost)
            self.on_trouble(_trouble(self.folder, f"does not take any more ({error})"))

        self._put(Lose(Lost(calls, amount), committed, failed))

    def save_cursor(self, sink: str, cursor: dict[str, Any]) -> None:
        """Write how far a sink got: with the next commit, or before `start` at once."""
        save = SaveCursor(sink, cursor)
        if self._writer is not None:
            self._put(save)
            return
        with _pausing(self.folder):
            save.apply(self._db)

    async def flush(self) -> None:
        """Return once everything put before is committed, or has failed to be."""
        self._flush()
        barrier = Barrier()
        self._put(barrier)
        await barrier.done

    async def aclose(self, ending: dict[str, Any] | None = None) -> None:
        """Commit what is left, end the session and let the run go. Safe to call twice.

        `ending` is kept as to how the session ended. Cancelled half-way it goes on, and a second call waits for it.
        """
        if self._closed is None:
            self._closed = asyncio.ensure_future(self._close(ending))
        await asyncio.shield(self._closed)

    async def _close(self, ending: dict[str, Any] | None) -> None:
        try:
            if self._writer is not None:
                await self.flush()
                await self._write_unwritten()
                await self._writer.aclose()
                self._writer = None
                # One that cannot be ended counts as killed: more is unknown then than was, never less.
                with _pausing(self.folder):
                    lost = Lost(self.given_up, self.given_up_cost).plus(self._unwritten_loss)
                    self._end_session(lost, {"low_water": self._mark(), "ending": ending})
                    self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except RunPaused as trouble:
            self.on_trouble(trouble)
        finally:
            self._closing.close()

    async def _write_unwritten(self) -> None:
        """Try once more what the disk did not take before, one by one; what finds no place now is lost, and counted."""
        writes, self._unwritten = [*self._unwritten, self._write_of(self._rows, self._results)], []
        self._rows, self._results = [], []
        for write in writes:
            for row, result in zip(write.rows, write.results, strict=True):
                self._put(self._write_of([row], [result]))
                await self.flush()
        lost = [result for write in self._unwritten for result in write.results]
        self.given_up += sum(map(billed, lost))
        self.given_up_cost += sum(map(billed_cost, lost))

    # Inside

    def _recover(self) -> None:
        """Read where the run stands. A session that never ended was killed with calls in flight."""
        self._totals = schema.load_totals(self._db)
        self._accepted = schema.accepted(self._db)
        self._unread = int(self.recall("low_water") or 0)
        if schema.load_session(self._db) is not None:
            lost = schema.lost_by_crash(self._db)
            self.killed_calls = lost.calls
            self._end_session(lost, {})

    def _begin_session(self) -> None:
        put_meta(self._db, {"session": self._session, "ending": None})

    def _end_session(self, lost: Lost, values: dict[str, Any]) -> None:
        """Count what no result will tell of, and let others see that nothing is in flight any more."""
        self._totals = schema.lose(self._totals, lost)
        lost = schema.load_lost(self._db).plus(lost)
        self._db.execute("BEGIN IMMEDIATE")
        put_meta(self._db, {"totals": self._totals, "lost": lost, **values})
        self._db.execute("DELETE FROM meta WHERE name = 'session'")
        self._db.execute("COMMIT")

    def _put(self, write: Write) -> None:
        assert self._writer is not None, "the journal is not started"
        self._writer.put(write)

    def _flush(self) -> None:
        if self._flush_timer is not None:
            self._flush_timer.cancel()
            self._flush_timer = None
        if self._rows and not self._unwritten:
            self._put(self._write_of(self._rows, self._results))
            self._rows, self._results = [], []

    def _mark(self) -> int:
        return next(iter(self._unsettled), self._unread)

    def _write_of(self, rows: Sequence[ResultRow], results: Sequence[Result]) -> Settle:
        return Settle(rows, results, self._mark(), self._committed, self._not_committed)

    def _set_accepted(self, count: int) -> None:
        self._accepted = count

    def _set_session(self, session: Session) -> None:
        self._session = session

    def _committed(self, write: Settle) -> None:
        self._totals = write.totals
        for result in write.results:
            self._unsettled.pop(result.index, None)
        self.on_commit(write.settled)

    def _not_committed(self, write: Settle, error: Exception) -> None:
        """Keep the results for a last try at the end, and those that come after, so that their order stays."""
        self._unwritten.append(write)
        self.on_trouble(_trouble(self.folder, f"does not take any more ({error})"))

    def _disk_is_full(self) -> None:
        self.on_trouble(_trouble(self.folder, "is full"))


def _trouble(folder: Path, what: str) -> RunPaused:
    return RunPaused(f"The disk that holds {folder} {what}.", FREE_SPACE)


@contextmanager
def _pausing(folder: Path) -> Iterator[None]:
    """What the disk does not take pauses the run, outside the writer's thread too."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise _trouble(folder, f"does not take any more ({error})") from None


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise UsageError(
            f"The run's folder {folder} cannot be made: {error.strerror}.", "Name another with --home."
        ) from None
