"""Folds over a journal, by a connection that only reads: they need no running process and disturb none."""

from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from penstock.journal import schema
from penstock.journal.keys import owner_of
from penstock.journal.recent import Sent, sent_since
from penstock.journal.schema import AnswerOf, StoredTask
from penstock.models import Result, Settled, Task, Totals

CHUNKS_KEPT = 8
"""Decoded chunks kept while reading in order of commit, which is nearly the order of the source."""

_COLUMNS = "idx, status, record, body"


class JournalReader:
    """What a journal says. Raises `JournalError` for a file that is none."""

    def __init__(self, path: Path, answer_of: AnswerOf) -> None:
        self._connection = schema.connect_reader(path)
        self._answer_of = answer_of
        self._chunks: OrderedDict[int, list[StoredTask]] = OrderedDict()

    def recall(self, name: str) -> Any:
        """A value of `meta`; None where there is none."""
        return schema.load_meta(self._connection, name)

    def totals(self) -> Totals:
        """The totals as of the last commit."""
        totals = schema.load_totals(self._connection)
        return msgspec.structs.replace(totals, accepted=schema.accepted(self._connection))

    def totals_if_killed(self) -> Totals:
        """The same, where nobody works on the run: what a process that never ended had in flight is unknown."""
        return schema.lose(self.totals(), schema.lost_by_crash(self._connection))

    def cursors(self) -> dict[str, dict[str, Any]]:
        """How far each sink got, by its name."""
        return {sink: schema.load_json(cursor) for sink, cursor in self._connection.execute("SELECT * FROM cursors")}

    def last_seq(self) -> int:
        """The number of the last result committed; 0 before the first."""
        return schema.last_seq(self._connection)

    def sent_since(self, last: int, since: float, now: float) -> list[Sent]:
        """The calls since a unix time that results up to number `last` tell of, the newest first."""
        return sent_since(self._connection, last, since, now)

    def after(self, seq: int, limit: int) -> list[Settled]:
        """At most `limit` results committed after `seq`, those that were superseded left out.

        Empty at the end only: a stretch in which every result was superseded is read over.
        """
        rows = self._connection.execute(
            f"SELECT seq, {_COLUMNS} FROM results WHERE seq > ? AND current ORDER BY seq LIMIT ?", (seq, limit)
        ).fetchall()
        return [Settled(seq, self._result(columns, self._task(columns[0]))) for seq, *columns in rows]

    def in_order(self) -> Iterator[Result]:
        """Every current result, in input order."""
        for first, count in self._connection.execute("SELECT first, count FROM chunks ORDER BY first").fetchall():
            tasks = self._load_chunk(first)
            rows = self._connection.execute(
                f"SELECT {_COLUMNS} FROM results WHERE current AND idx >= ? AND idx < ? ORDER BY idx",
                (first, first + count),
            )
            for row in rows:
                yield self._result(row, tasks[row[0] - first])

    def failures(self) -> Iterator[Result]:
        """Every current failure, in input order."""
        rows = self._connection.execute(
            f"SELECT {_COLUMNS} FROM results WHERE current AND status = 'failed' ORDER BY idx"
        )
        for row in rows:
            yield self._result(row, self._task(row[0]))

    def answered_keys(self, last: int) -> Iterator[str]:
        """The keys of the answers committed up to number `last`, those that were superseded left out."""
        rows = self._connection.execute(
            "SELECT record FROM results WHERE seq <= ? AND current AND status <> 'failed' ORDER BY seq", (last,)
        )
        return (schema.load_record(record).key for (record,) in rows)

    def find(self, key: str) -> tuple[Task, Result | None] | None:
        """The task with this key and its result, where it is settled; None where there is no such task."""
        index = owner_of(self._connection, key)
        if index is None:
            return None
        stored = self._task(index)
        row = self._connection.execute(f"SELECT {_COLUMNS} FROM results WHERE current AND idx = ?", (index,)).fetchone()
        return schema.to_task(index, stored), self._result(row, stored) if row else None

    def pending_from(self, index: int) -> tuple[list[Task], int]:
        """The unsettled tasks of the first chunk that has any at or after `index`, and the index after that chunk."""
        # The chunk that `index` is in is looked up: comparing with where each one ends would read them all.
        chunks = self._connection.execute(
            "SELECT first, count FROM chunks WHERE first >= (SELECT max(first) FROM chunks WHERE first <= ?) "
            "ORDER BY first",
            (index,),
        )
        for first, count in chunks:
            start, index = max(first, index), first + count
            if wanted := self._unsettled(start, index):
                tasks = self._load_chunk(first)
                return [schema.to_task(i, tasks[i - first]) for i in wanted], index
        return [], index

    def _unsettled(self, start: int, end: int) -> list[int]:
        """Counted first, and read only where some are missing: behind one slow task may stand millions of settled."""
        where = "FROM results WHERE current AND idx >= ? AND idx < ?"
        (count,) = self._connection.execute(f"SELECT count(*) {where}", (start, end)).fetchone()
        if count == end - start:
            return []
        settled = {row[0] for row in self._connection.execute(f"SELECT idx {where}", (start, end))}
        return [index for index in range(start, end) if index not in settled]

    def close(self) -> None:
        """Let the file go. Safe to call twice."""
        self._connection.close()

    def _result(self, row: tuple[int, str, bytes, bytes], task: StoredTask) -> Result:
        return schema.load_result(row, task, self._answer_of)

    def _task(self, index: int) -> StoredTask:
        first: int = self._connection.execute(
            "SELECT first FROM chunks WHERE first <= ? ORDER BY first DESC LIMIT 1", (index,)
        ).fetchone()[0]
        if first not in self._chunks:
            self._chunks[first] = self._load_chunk(first)
            if len(self._chunks) > CHUNKS_KEPT:
                self._chunks.popitem(last=False)
        return self._chunks[first][index - first]

    def _load_chunk(self, first: int) -> list[StoredTask]:
        (blob,) = self._connection.execute("SELECT tasks FROM chunks WHERE first = ?", (first,)).fetchone()
        return schema.load_tasks(blob)
