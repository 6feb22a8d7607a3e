"""Recomputing from disk what a journal claims: nothing lost, nothing twice, and the totals are true."""

import math
import sqlite3
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
from pathlib import Path

import msgspec

from penstock.journal import schema
from penstock.journal.keys import owner_of
from penstock.journal.tally import Tally
from penstock.models import Totals

SUM_ERROR = 1e-9
"""By which two sums of the same amounts, in another order, may differ: relative, and of a unit of the currency."""


class Fingerprint(msgspec.Struct, frozen=True):
    """A collection of values, told apart from any other in constant memory: how many, and the sum of their hashes.

    Python's own hash is 64 bits wide and differs from process to process: a fingerprint means nothing to another.
    """

    count: int
    digest: int


def fingerprint(values: Iterable[Hashable]) -> Fingerprint:
    """The fingerprint of values in any order, each as often as it occurs."""
    count = digest = 0
    for value in map(hash, values):
        count += 1
        digest += value
    return Fingerprint(count, digest % 2**64)


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
        accepted = self._tasks()
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

    def _tasks(self) -> int:
        """Tasks follow each other without a gap, and every one has its key; how many there are."""
        taken = fingerprint(self._taken())
        owned = fingerprint(self._connection.execute("SELECT key, idx FROM keys"))
        if owned != taken:
            self._problems += self._wrong_keys()
            self._compare("keys", taken.count, owned.count)
        return schema.accepted(self._connection)

    def _taken(self) -> Iterator[tuple[str, int]]:
        """The key and the index of every task; one that is where it must not be is a problem."""
        expected = 0
        for first, count, blob in self._connection.execute("SELECT first, count, tasks FROM chunks ORDER BY first"):
            if first != expected:
                self._problems.append(f"tasks {expected} to {first - 1} are missing")
            tasks = schema.load_tasks(blob)
            self._compare(f"tasks in the chunk at {first}", count, len(tasks))
            yield from ((task.key, index) for index, task in enumerate(tasks, first))
            expected = first + count

    def _wrong_keys(self) -> Iterator[str]:
        """What the tasks and the keys do not agree on, looked up one by one."""
        for first, blob in self._connection.execute("SELECT first, tasks FROM chunks ORDER BY first"):
            for index, task in enumerate(schema.load_tasks(blob), first):
                if (owner := owner_of(self._connection, task.key)) != index:
                    yield f"the key {task.key!r} of task {index} belongs to {owner}"

    def _results(self, accepted: int) -> tuple[Counter[str], Totals, Fingerprint]:
        """Results belong to tasks, none has two, no number is missing.

        Counts of current results by status, what all of them have used and cost, and the keys to deliver.
        """
        statuses: Counter[str] = Counter()
        tally = Tally(Totals())
        answered = digest = 0
        previous = 0
        rows = self._connection.execute("SELECT seq, current, idx, status, record FROM results ORDER BY seq")
        for seq, current, index, status, record in rows:
            if seq != previous + 1:
                self._problems.append(f"results {previous + 1} to {seq - 1} are missing")
            previous = seq
            if not 0 <= index < accepted:
                self._problems.append(f"result {seq} is of task {index}, which was never taken")
            outcome = schema.load_record(record)
            tally.add(schema.STATUSES[status], outcome)
            if current:
                statuses[status] += 1
                if outcome.failure is None:
                    answered += 1
                    digest += hash(outcome.key)
        (twice,) = self._connection.execute(
            "SELECT count(*) FROM (SELECT 1 FROM results WHERE current GROUP BY idx HAVING count(*) > 1)"
        ).fetchone()
        if twice:
            self._problems.append(f"{twice} tasks have more than one result")
        return statuses, tally.totals(), Fingerprint(answered, digest % 2**64)

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
