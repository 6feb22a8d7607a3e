"""The journal's form on disk: one SQLite file per run, and how nouns are written into it and read back.

    meta      small JSON values: what the run is, its totals, its low-water mark
    chunks    what was taken from the source: consecutive tasks as a MessagePack blob, and the position after them
    keys      every task's key, so that none is taken twice; a view of three tables, of which `keys.py` tells
    results   every settled outcome, in the order of commit (`seq`); at most one per task is `current`
    cursors   how far each sink got

Answers are kept byte for byte in `results.body`; a result's other fields stand as JSON in `results.record`.
"""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from penstock.errors import JournalError
from penstock.models import Attempt, Failure, Result, Status, Task, Totals, Usage
from penstock.options import Durability

SCHEMA_VERSION = 2
PAGE_BYTES = 8192
"""A row and its answer are a few of these or a part of one; smaller pages leave a third of themselves empty."""
WAL_PAGES = 2000
"""Pages in the write-ahead log, 16 MB, before they are brought into the file, which costs a sync of the disk."""
STATEMENTS_KEPT = 64
WAL_KEPT_BYTES = 64 * 1024 * 1024
"""What a reader that held one moment for minutes made of the log is given back to the disk beyond this."""
PRIMARY_CODE = 0xFF
"""Mask of SQLite's extended error codes."""
APPLICATION_ID = 0x50_45_4E_53
"""SQLite's application_id, "PENS": tells a journal from any other database."""

_STAMP = f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION};"
_TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE chunks (first INTEGER PRIMARY KEY, count INTEGER NOT NULL, position TEXT NOT NULL, tasks BLOB NOT NULL);
CREATE TABLE results (
    seq INTEGER PRIMARY KEY, idx INTEGER NOT NULL, current INTEGER NOT NULL, status TEXT NOT NULL,
    record BLOB NOT NULL, body BLOB NOT NULL
);
CREATE UNIQUE INDEX one_result_per_task ON results (idx) WHERE current;
CREATE INDEX failures ON results (idx) WHERE current AND status = 'failed';
CREATE TABLE cursors (sink TEXT PRIMARY KEY, cursor TEXT NOT NULL) WITHOUT ROWID;
"""

_KEY_TABLES = """
CREATE TABLE keys_new (key TEXT PRIMARY KEY, idx INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE keys_recent (key TEXT PRIMARY KEY, idx INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS keys_old (key TEXT PRIMARY KEY, idx INTEGER NOT NULL) WITHOUT ROWID;
CREATE VIEW keys AS SELECT key, idx FROM keys_new UNION ALL SELECT key, idx FROM keys_recent
    UNION ALL SELECT key, idx FROM keys_old;
"""
_FROM_VERSION_1 = f"ALTER TABLE keys RENAME TO keys_old; {_KEY_TABLES}"


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """What of a result stands in `results.record`: all but the row, the body and what is decoded from it."""

    key: str
    api: str = ""
    model: str = ""
    endpoint: str = ""
    finish_reason: str | None = None
    usage: Usage = Usage()
    cost: float | None = None
    currency: str = "USD"
    latency_ms: float = 0.0
    queue_ms: float = 0.0
    attempts: tuple[Attempt, ...] = ()
    finished_at: float = 0.0
    failure: Failure | None = None


class Session(msgspec.Struct, frozen=True):
    """A process that works on the run, as `meta` has it until it ends: one that is killed leaves it.

    At most so many `calls`, which may cost at most `amount`, are in flight or landed and not committed.
    """

    pid: int
    calls: int
    amount: float = 0.0


class Lost(msgspec.Struct, frozen=True):
    """Calls of which no result tells: in flight when the program was stopped or killed, and what they may cost."""

    calls: int = 0
    amount: float = 0.0

    def plus(self, more: "Lost") -> "Lost":
        """Both together."""
        return Lost(self.calls + more.calls, self.amount + more.amount)


class StoredTask(msgspec.Struct, frozen=True, array_like=True):
    """A task inside a chunk; its index follows from its place."""

    key: str
    raw: bytes
    where: str
    error: str | None = None


AnswerOf = Callable[[str, bytes], tuple[str | None, msgspec.Raw | None]]
"""(api, body) → the answer's text and output: decoding an answer is the business of the APIs, not of the journal."""

_encode_record = msgspec.json.Encoder().encode
_decode_record = msgspec.json.Decoder(Record).decode
_encode_chunk = msgspec.msgpack.Encoder().encode
_decode_chunk = msgspec.msgpack.Decoder(list[StoredTask]).decode


STATUSES = {status.value: status for status in Status}
"""Each status by its name: an enumeration's own look-up takes three times as long."""

MAX_VALUES = 4000
"""In a statement that is not made again and again."""
ROWS_PER_STATEMENT = (256, 64, 16, 4, 1)
"""SQLite takes 32,766 values in one statement. There are few forms, since making one takes as long as running it."""


def insert_rows(connection: sqlite3.Connection, insert: str, ending: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows of equal length; `insert` is the statement up to VALUES, `ending` what follows the values.

    Many rows by one statement: Python gives its global lock away with each that SQLite executes, and has to fight the
    event loop for it again.
    """
    done, left = 0, len(rows)
    for size in ROWS_PER_STATEMENT:
        while left >= size:
            block = rows[done : done + size]
            values = [value for row in block for value in row]
            connection.execute(_inserting(insert, ending, size, len(block[0])), values)
            done, left = done + size, left - size


@lru_cache(maxsize=STATEMENTS_KEPT)
def _inserting(insert: str, ending: str, rows: int, columns: int) -> str:
    places = ",".join(["(" + ",".join("?" * columns) + ")"] * rows)
    return f"{insert} VALUES {places} {ending}"


def connect_writer(path: Path, durability: Durability) -> sqlite3.Connection:
    """The one connection that writes and checkpoints; SQLite before 3.51.3 can corrupt a WAL that has two.

    Raises `JournalError` for a file that is no journal, or one of a newer version, and SQLite's own error when the disk
    is full or broken.
    """
    if not path.exists() or path.stat().st_size == 0:
        _create(path)
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=STATEMENTS_KEPT)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit = {WAL_KEPT_BYTES}")
        connection.execute(f"PRAGMA synchronous = {'FULL' if durability == 'full' else 'NORMAL'}")
        if check_version(connection, path) == 1:
            connection.executescript(f"BEGIN; {_FROM_VERSION_1} {_STAMP} COMMIT;")
    except sqlite3.DatabaseError as error:
        connection.close()
        if error.sqlite_errorcode & PRIMARY_CODE in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
            raise
        raise unreadable(path, error) from None
    return connection


def _create(path: Path) -> None:
    """Make an empty journal under another name first: a process that is killed here leaves none, not half of one."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    new.touch(mode=0o600)  # the write-ahead log gets the same
    with closing(sqlite3.connect(new, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        connection.executescript(f"BEGIN; {_STAMP} {_TABLES} {_KEY_TABLES} COMMIT;")
        connection.execute("PRAGMA journal_mode = WAL")
    new.replace(path)


def connect_reader(path: Path) -> sqlite3.Connection:
    """A connection that only reads, beside a writer in this or another process. Raises `JournalError`."""
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False)
        check_version(connection, path)
    except sqlite3.DatabaseError as error:
        raise unreadable(path, error) from None
    return connection


def check_version(connection: sqlite3.Connection, path: Path) -> int:
    """The version of a journal. Raises `JournalError` unless this is one that this program understands."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise JournalError(f"{path} is not a journal of Penstock.")
    if version > SCHEMA_VERSION:
        raise JournalError(
            f"{path} was written by a newer Penstock (journal version {version}, this one knows {SCHEMA_VERSION}).",
            "Upgrade with: pip install --upgrade penstock",
        )
    return int(version)


def unreadable(path: Path, error: sqlite3.Error) -> JournalError:
    """The error for a journal that SQLite cannot read."""
    return JournalError(
        f"The journal {path} cannot be read: {error}.", "Restore it from a copy, or begin anew with --fresh."
    )


def load_meta(connection: sqlite3.Connection, name: str) -> Any:
    """A value of `meta`; None where there is none."""
    row = connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    return load_json(row[0]) if row else None


def load_totals(connection: sqlite3.Connection) -> Totals:
    """The totals as of the last commit, without how many tasks were taken."""
    return msgspec.convert(load_meta(connection, "totals") or {}, Totals)


def load_session(connection: sqlite3.Connection) -> Session | None:
    """The process that works on the run, or was killed at it; None where the last one ended."""
    value = load_meta(connection, "session")
    return None if value is None else msgspec.convert(value, Session)


def load_lost(connection: sqlite3.Connection) -> Lost:
    """What is counted as unknown beside the attempts of results."""
    return msgspec.convert(load_meta(connection, "lost") or {}, Lost)


def lose(totals: Totals, lost: Lost) -> Totals:
    """The totals with calls counted as unknown."""
    return msgspec.structs.replace(
        totals, unknown=totals.unknown + lost.calls, unknown_cost=totals.unknown_cost + lost.amount
    )


def lost_by_crash(connection: sqlite3.Connection) -> Lost:
    """What a process that never ended, if there was one, may have had in flight."""
    if (session := load_session(connection)) is None:
        return Lost()
    pending = msgspec.structs.replace(load_totals(connection), accepted=accepted(connection)).pending
    return Lost(min(pending, session.calls), session.amount)


def last_seq(connection: sqlite3.Connection) -> int:
    """The number of the last result written; 0 before the first."""
    row = connection.execute("SELECT max(seq) FROM results").fetchone()
    return row[0] or 0


def accepted(connection: sqlite3.Connection) -> int:
    """How many tasks were taken."""
    row = connection.execute("SELECT first + count FROM chunks ORDER BY first DESC LIMIT 1").fetchone()
    return row[0] if row else 0


def dump_json(value: Any) -> str:
    """A value of `meta` or `cursors` as text."""
    return msgspec.json.encode(value).decode()


def load_json(text: str) -> Any:
    """Such a value back."""
    return msgspec.json.decode(text)


def dump_tasks(tasks: Sequence[Task]) -> bytes:
    """Consecutive tasks as one blob."""
    return _encode_chunk([StoredTask(task.key, task.raw, task.where, task.error) for task in tasks])


def load_tasks(blob: bytes) -> list[StoredTask]:
    """The tasks of a chunk; `to_task` makes one whole."""
    return _decode_chunk(blob)


def to_task(index: int, stored: StoredTask) -> Task:
    """A stored task with its row decoded."""
    return Task(stored.key, index, stored.raw, msgspec.json.decode(stored.raw), stored.where, stored.error)


def dump_record(result: Result) -> bytes:
    """A result's `record` column."""
    return _encode_record(
        Record(
            result.key,
            result.api,
            result.model,
            result.endpoint,
            result.finish_reason,
            result.usage,
            result.cost,
            result.currency,
            result.latency_ms,
            result.queue_ms,
            result.attempts,
            result.finished_at,
            result.failure,
        )
    )


def load_record(record: bytes) -> Record:
    """A `record` column decoded."""
    return _decode_record(record)


def load_result(columns: tuple[int, str, bytes, bytes], task: StoredTask, answer_of: AnswerOf) -> Result:
    """A result from its columns idx, status, record and body."""
    index, status, record, body = columns
    kept = load_record(record)
    text, output = answer_of(kept.api, body) if body else (None, None)
    return Result(
        key=kept.key,
        index=index,
        status=STATUSES[status],
        raw=task.raw,
        where=task.where,
        api=kept.api,
        model=kept.model,
        endpoint=kept.endpoint,
        body=body,
        text=text,
        output=output,
        finish_reason=kept.finish_reason,
        usage=kept.usage,
        cost=kept.cost,
        currency=kept.currency,
        latency_ms=kept.latency_ms,
        queue_ms=kept.queue_ms,
        attempts=kept.attempts,
        finished_at=kept.finished_at,
        failure=kept.failure,
    )
