"""Every task's key, so that none is taken twice, in three tables of growing size.

Keys such as UUIDs fall anywhere into an index: in one large table each new key dirties a page of its own, 4 kB and more
of writes for a key of 36 bytes, and ever more as the table grows. So new keys go into a small table. What is too much
for it moves on to the next in runs of neighbouring keys, which share pages there. The view `keys` is all of them.

    keys_new     up to 32 thousand, all of whose pages are written over and over
    keys_recent  up to 256 thousand
    keys_old     the rest
"""

import sqlite3
from collections.abc import Sequence

import msgspec

from penstock.journal import schema

KeyRow = tuple[str, int]
"""A key and the index of its task."""

TABLES = ("keys_new", "keys_recent", "keys_old")
CAPACITIES = (2**15, 2**18)
"""How many keys may stand in each table but the last."""

META_NAME = "keys"


class Level(msgspec.Struct):
    """How one table stands: how many keys are in it, and where the next run that moves on begins."""

    count: int = 0
    cursor: str = ""


def owner_of(connection: sqlite3.Connection, key: str) -> int | None:
    """The index of the task that has the key."""
    row = connection.execute("SELECT idx FROM keys WHERE key = ?", (key,)).fetchone()
    return row[0] if row else None


def take(connection: sqlite3.Connection, rows: Sequence[KeyRow], capacities: Sequence[int] = CAPACITIES) -> bool:
    """Give each task its key unless another has it; whether all got theirs. Inside a transaction."""
    levels = _load_levels(connection)
    before = connection.total_changes
    if not any(_are_in(connection, table, rows) for table in TABLES[1:]):
        schema.insert_rows(connection, f"INSERT INTO {TABLES[0]} (key, idx)", "ON CONFLICT DO NOTHING", rows)
    else:
        for row in rows:
            if owner_of(connection, row[0]) is None:
                connection.execute(f"INSERT INTO {TABLES[0]} (key, idx) VALUES (?, ?)", row)
    taken = connection.total_changes - before
    levels[0].count += taken
    _move_on(connection, levels, capacities)
    connection.execute("INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", (META_NAME, schema.dump_json(levels)))
    return taken == len(rows)


def _are_in(connection: sqlite3.Connection, table: str, rows: Sequence[KeyRow]) -> bool:
    """Whether one of the keys stands in a table."""
    for done in range(0, len(rows), schema.MAX_VALUES):
        block = [key for key, _ in rows[done : done + schema.MAX_VALUES]]
        places = ",".join("?" * len(block))
        if connection.execute(f"SELECT 1 FROM {table} WHERE key IN ({places}) LIMIT 1", block).fetchone():
            return True
    return False


def _move_on(connection: sqlite3.Connection, levels: Sequence[Level], capacities: Sequence[int]) -> None:
    """Bring every table but the last back to its capacity, as far as one run of neighbours reaches."""
    for number, capacity in enumerate(capacities):
        level = levels[number]
        if level.count > capacity:
            moved = _move_run(connection, TABLES[number], TABLES[number + 1], level, level.count - capacity)
            level.count -= moved
            levels[number + 1].count += moved


def _move_run(connection: sqlite3.Connection, source: str, target: str, level: Level, count: int) -> int:
    """Move so many keys from the cursor on, fewer at the end of the table, and set the cursor behind them."""
    end = connection.execute(
        f"SELECT key FROM {source} WHERE key >= ? ORDER BY key LIMIT 1 OFFSET ?", (level.cursor, count)
    ).fetchone()
    run, bounds = ("key >= ?", [level.cursor]) if end is None else ("key >= ? AND key < ?", [level.cursor, end[0]])
    connection.execute(f"INSERT INTO {target} (key, idx) SELECT key, idx FROM {source} WHERE {run}", bounds)
    level.cursor = end[0] if end else ""
    return connection.execute(f"DELETE FROM {source} WHERE {run}", bounds).rowcount


def _load_levels(connection: sqlite3.Connection) -> list[Level]:
    stored = schema.load_meta(connection, META_NAME)
    return [Level() for _ in TABLES] if stored is None else msgspec.convert(stored, list[Level])
