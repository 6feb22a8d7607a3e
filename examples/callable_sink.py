"""Give every result to a function, here one that keeps it in a database."""

import sqlite3

import penstock
from penstock import Result

database = sqlite3.connect("answers.db", check_same_thread=False)
database.execute("CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, status TEXT, text TEXT, cost REAL)")


def save(result: Result) -> None:
    """Called in another thread, once for each result; after a crash some may come again, so the key decides."""
    row = (result.key, result.status, result.text, result.cost)
    with database:
        database.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?)", row)


penstock.run(
    [{"id": f"city-{name}", "name": name} for name in ("Paris", "Lagos", "Lima")],
    prompt="Say one thing about {{ name }}.",
    model="gpt-4o-mini",
    output=save,
    name="cities",
)
for key, status in database.execute("SELECT key, status FROM answers ORDER BY key"):
    print(key, status)
