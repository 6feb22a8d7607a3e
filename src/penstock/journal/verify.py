"""Recomputing from disk what a journal claims: nothing lost, nothing twice, and the totals are true."""

import math
import sqlite3
from collections import Counter
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

import msgspec

from penstock.journal import schema
from penstock.journal.schema import StoredTask
from penstock.journal.tally import Tally
from penstock.models import Result, Totals

SUM_ERROR = 1e-9
"""By which two sums of the same amounts, in another order, may differ: relative, and of a unit of the currency."""

UNREAD_TASK = StoredTask("", b"", "")
"""Stands for the row of a result where only the result is looked at."""


class Fingerprint(msgspec.Struct, frozen=True):
    """A set of keys, told apart from any other in constant memory: how many, and the sum of their hashes."""

    count: int = 0
    digest: int = 0

    def add(self, key: str) -> "Fingerprint":
        """With one key more."""
        value = int.from_bytes(blake2b(key.encode(), digest_size=16).digest())
        return Fingerprint(self.count + 1, (self.digest + value) % 2**128)


class Verified(msgspec.Struct, frozen=True):
    """What a journal holds. `problems` is empty for a sound one; `delivered` are the keys that outputs must hold."""

    totals: Totals
    problems: list[str]
    delivered: Fingerprint


def verify(path: Path) -> Verified:
    """Read the whole journal and check every claim. Raises `JournalError` for a file that is none."""
    connection = schema.connect_reader(path)
    try:
        return _Check(connection).run()
    except sqlite3.DatabaseError as error:
        raise schema.unreadable(path, error) from None
    finally:
        connection.close()


class _Check:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._problems: list[str] = []

    def run(self) -> Verified:
        self._connection.execute("BEGIN")
        claimed = schema.load_totals(self._connection)
        self._integrity()
        accepted = self._chunks()
        statuses, spent, delivered = self._results(accepted)
        for name, value in (("ok", claimed.ok), ("partial", claimed.partial), ("failed", claimed.failed)):
            self._compare(f"{name} results", value, statuses[name])
        self._money(claimed, schema.lose(spent, schema.load_lost(self._connection)))
        self._low_water()
        return Verified(msgspec.structs.replace(claimed, accepted=accepted), self._problems, delivered)

    def _integrity(self) -> None:
        (answer,) = self._connection.execute("PRAGMA integrity_check(1)").fetchone()
        if answer != "ok":
            self._problems.append(f"SQLite finds the file damaged: {answer}")

    def _chunks(self) -> int:
        """Chunks follow each other without a gap, and every task has its key; how many tasks there are."""
        expected = 0
        for first, count, blob in self._connection.execute("SELECT first, count, tasks FROM chunks ORDER BY first"):
            if first != expected:
                self._problems.append(f"tasks {expected} to {first - 1} are missing")
            tasks = schema.load_tasks(blob)
            self._compare(f"tasks in the chunk at {first}", count, len(tasks))
            for index, task in enumerate(tasks, first):
                if self._owner(task.key) != index:
                    self._problems.append(f"the key {task.key!r} of task {index} belongs to {self._owner(task.key)}")
            expected = first + count
        return expected

    def _owner(self, key: str) -> int | None:
        row = self._connection.execute("SELECT idx FROM keys WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def _results(self, accepted: int) -> tuple[Counter[str], Totals, Fingerprint]:
        """Results belong to tasks, none has two, no number is missing.

        Counts of current results by status, what all of them have used and cost, and the keys to deliver.
        """
        statuses: Counter[str] = Counter()
        tally, delivered = Tally(Totals()), Fingerprint()
        previous = 0
        for seq, current, result in self._records():
            if seq != previous + 1:
                self._problems.append(f"results {previous + 1} to {seq - 1} are missing")
            previous = seq
            if not 0 <= result.index < accepted:
                self._problems.append(f"result {seq} is of task {result.index}, which was never taken")
            tally.add(result)
            if current:
                statuses[result.status] += 1
                if result.failure is None:
                    delivered = delivered.add(result.key)
        (twice,) = self._connection.execute(
            "SELECT count(*) FROM (SELECT 1 FROM results WHERE current GROUP BY idx HAVING count(*) > 1)"
        ).fetchone()
        if twice:
            self._problems.append(f"{twice} tasks have more than one result")
        return statuses, tally.totals(), delivered

    def _records(self) -> Iterator[tuple[int, bool, Result]]:
        rows = self._connection.execute("SELECT seq, current, idx, status, record FROM results ORDER BY seq")
        for seq, current, *columns in rows:
            yield seq, bool(current), schema.load_result((*columns, b""), UNREAD_TASK)

    def _money(self, claimed: Totals, found: Totals) -> None:
        """What was superseded stays spent, so this is folded over every result there ever was."""
        for name in ("attempts", "unknown", "unpriced", "usage"):
            self._compare(name, getattr(claimed, name), getattr(found, name))
        for name in ("cost", "unknown_cost"):
            said, is_ = getattr(claimed, name), getattr(found, name)
            if not math.isclose(said, is_, rel_tol=SUM_ERROR, abs_tol=SUM_ERROR):
                self._compare(name.replace("_", " "), said, is_)

    def _low_water(self) -> None:
        mark = schema.load_meta(self._connection, "low_water") or 0
        (settled,) = self._connection.execute(
            "SELECT count(*) FROM results WHERE current AND idx < ?", (mark,)
        ).fetchone()
        self._compare("settled tasks below the low-water mark", mark, settled)

    def _compare(self, what: str, claimed: object, found: object) -> None:
        if claimed != found:
            self._problems.append(f"{what}: the journal says {claimed}, there are {found}")
