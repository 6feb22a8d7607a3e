"""Keys: each is taken once, wherever it stands, and taking one stays cheap however many there are."""

import asyncio
import sqlite3
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

import msgspec
import pytest

from penstock.journal import keys, schema
from penstock.journal.folder import JOURNAL_FILE
from penstock.journal.journal import Journal
from penstock.journal.reader import JournalReader
from penstock.journal.verify import fingerprint, verify
from penstock.models import Task

CHUNK = 50
SMALL = (100, 800)
"""Capacities by which a few thousand keys fill every table."""

VERSION_1 = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE chunks (first INTEGER PRIMARY KEY, count INTEGER NOT NULL, position TEXT NOT NULL, tasks BLOB NOT NULL);
CREATE TABLE keys (key TEXT PRIMARY KEY, idx INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE results (
    seq INTEGER PRIMARY KEY, idx INTEGER NOT NULL, current INTEGER NOT NULL, status TEXT NOT NULL,
    record BLOB NOT NULL, body BLOB NOT NULL
);
CREATE UNIQUE INDEX one_result_per_task ON results (idx) WHERE current;
CREATE INDEX failures ON results (idx) WHERE current AND status = 'failed';
CREATE TABLE cursors (sink TEXT PRIMARY KEY, cursor TEXT NOT NULL) WITHOUT ROWID;
"""


def answer_of(api: str, body: bytes) -> tuple[str | None, msgspec.Raw | None]:
    """The text of a body is the body."""
    return body.decode(), None


def task(index: int, key: str) -> Task:
    """A task whose row says its index."""
    return Task(key, index, msgspec.json.encode({"n": index}), {"n": index}, "here")


def counted(index: int) -> str:
    """Keys that come nearly in order."""
    return f"row-{index}"


def scattered(index: int) -> str:
    """Keys that come in no order."""
    return blake2b(str(index).encode(), digest_size=16).hexdigest()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A journal's file, open for writing."""
    connection = schema.connect_writer(tmp_path / JOURNAL_FILE, "normal")
    yield connection
    connection.close()


def take(database: sqlite3.Connection, rows: list[tuple[str, int]], capacities: tuple[int, ...] = SMALL) -> bool:
    """Take keys in a transaction of their own."""
    database.execute("BEGIN IMMEDIATE")
    taken = keys.take(database, rows, capacities)
    database.execute("COMMIT")
    return taken


def count(database: sqlite3.Connection, table: str) -> int:
    """How many keys stand in a table."""
    (found,) = database.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(found)


@pytest.mark.parametrize("key", [counted, scattered])
def test_every_key_has_its_owner_in_whichever_table_it_stands(database: sqlite3.Connection, key) -> None:  # type: ignore[no-untyped-def]
    """The tables fill up to their capacities, the rest stands in the last, and none is lost or doubled on its way."""
    rows = [(key(index), index) for index in range(5000)]
    for first in range(0, len(rows), CHUNK):
        assert take(database, rows[first : first + CHUNK])
        for table, capacity in zip(keys.TABLES, SMALL, strict=False):
            assert count(database, table) <= capacity + CHUNK
    assert database.execute("SELECT key, idx FROM keys ORDER BY idx").fetchall() == rows
    assert count(database, "keys_old") > 3000
    assert all(keys.owner_of(database, name) == index for name, index in rows[::97])
    assert keys.owner_of(database, "never taken") is None


def test_a_key_is_found_again_in_every_table(database: sqlite3.Connection) -> None:
    """One repeated key in a chunk costs the others nothing."""
    for first in range(0, 2000, CHUNK):
        take(database, [(scattered(index), index) for index in range(first, first + CHUNK)])
    for table in keys.TABLES:
        (repeated, owner) = database.execute(f"SELECT key, idx FROM {table} LIMIT 1").fetchone()
        new = f"new in {table}"
        assert not take(database, [(repeated, 9000), (new, 9001)])
        assert keys.owner_of(database, repeated) == owner
        assert keys.owner_of(database, new) == 9001


def test_what_is_rolled_back_was_never_moved(database: sqlite3.Connection) -> None:
    """The same keys can be taken after a transaction that the disk did not take."""
    rows = [(scattered(index), index) for index in range(500)]
    take(database, rows[:450])
    before = database.execute("SELECT * FROM keys_new").fetchall()
    database.execute("BEGIN IMMEDIATE")
    assert keys.take(database, rows[450:], SMALL)
    database.execute("ROLLBACK")
    assert database.execute("SELECT * FROM keys_new").fetchall() == before
    assert take(database, rows[450:])
    assert fingerprint(database.execute("SELECT key, idx FROM keys")) == fingerprint(rows)


def pages_for_a_thousand(database: sqlite3.Connection, capacities: tuple[int, ...]) -> int:
    """Pages written for a thousand keys that come after many thousands."""
    for first in range(0, 60_000, 1000):
        take(database, [(scattered(index), index) for index in range(first, first + 1000)], capacities)
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.execute("PRAGMA wal_autocheckpoint = 0")
    take(database, [(scattered(index), index) for index in range(60_000, 61_000)], capacities)
    _, pages, _ = database.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return int(pages)


def test_keys_in_no_order_are_written_in_few_pages(tmp_path: Path) -> None:
    """In one table nearly each of them would dirty a page of its own."""
    found = []
    for number, capacities in enumerate(((), (4000, 20_000))):
        database = schema.connect_writer(tmp_path / f"{number}.db", "normal")
        found.append(pages_for_a_thousand(database, capacities))
        database.close()
    in_one_table, in_three = found
    assert in_three * 2 < in_one_table


def test_a_journal_of_version_1_is_read_as_it_is_and_goes_on_as_version_2(tmp_path: Path) -> None:
    """Its keys are still known when the run goes on."""
    old = [task(0, "a"), task(1, "b")]
    with sqlite3.connect(tmp_path / JOURNAL_FILE, isolation_level=None) as database:
        database.executescript(VERSION_1)
        database.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        database.execute("PRAGMA user_version = 1")
        database.executemany("INSERT INTO keys VALUES (?, ?)", [(each.key, each.index) for each in old])
        database.execute("INSERT INTO chunks VALUES (0, 2, '{}', ?)", (schema.dump_tasks(old),))
    database.close()
    reader = JournalReader(tmp_path / JOURNAL_FILE, answer_of)
    assert reader.find("b") == (old[1], None)
    reader.close()
    assert verify(tmp_path / JOURNAL_FILE).problems == []

    async def go_on() -> list[Task]:
        journal = Journal(tmp_path, answer_of)
        journal.start()
        assert await journal.load_pending() == old
        accepted = await journal.accept([task(2, "b"), task(3, "c")], {})
        await journal.aclose()
        return accepted

    assert [each.key for each in asyncio.run(go_on())] == ["b#2", "c"]
    assert verify(tmp_path / JOURNAL_FILE).problems == []
    with sqlite3.connect(tmp_path / JOURNAL_FILE) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (schema.SCHEMA_VERSION,)
    database.close()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        ("UPDATE keys_new SET idx = 7 WHERE key = 'row-1'", "the key 'row-1' of task 1 belongs to 7"),
        ("DELETE FROM keys_new WHERE key = 'row-1'", "the key 'row-1' of task 1 belongs to None"),
        ("INSERT INTO keys_old VALUES ('more', 3)", "keys: the journal says 3, there are 4"),
        ("INSERT INTO keys_old VALUES ('row-1', 1)", "keys: the journal says 3, there are 4"),
    ],
)
def test_verify_names_a_key_that_is_wrong(tmp_path: Path, spoil: str, words: str) -> None:
    """One that is another task's, is not there, is nobody's, or stands in two tables."""

    async def work() -> None:
        journal = Journal(tmp_path, answer_of)
        journal.start()
        await journal.accept([task(index, counted(index)) for index in range(3)], {})
        await journal.aclose()

    asyncio.run(work())
    with sqlite3.connect(tmp_path / JOURNAL_FILE) as database:
        database.execute(spoil)
    database.close()
    assert words in verify(tmp_path / JOURNAL_FILE).problems
