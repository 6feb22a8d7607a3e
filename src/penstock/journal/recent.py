"""What was sent of late, as the settled results tell it."""

import sqlite3

import msgspec

from penstock.journal.schema import load_record

MOST_RESULTS = 200_000
"""So many are looked at, which bounds the time that it takes to open a run."""
MARGIN_S = 5.0
"""By how much results may be out of order: they are numbered when they are committed."""


class Sent(msgspec.Struct, frozen=True, gc=False):
    """A call that was sent so many seconds ago. `tokens` is what it used, 0 where that is not known."""

    ago_s: float
    endpoint: str
    key: str
    model: str
    tokens: int


def sent_since(connection: sqlite3.Connection, last: int, since: float, now: float) -> list[Sent]:
    """The calls since a unix time that results up to number `last` tell of, the newest first."""
    found = []
    rows = connection.execute(
        "SELECT record FROM results WHERE seq <= ? ORDER BY seq DESC LIMIT ?", (last, MOST_RESULTS)
    )
    for (blob,) in rows:
        record = load_record(blob)
        if record.finished_at < since - MARGIN_S:
            break
        tokens = record.usage.input_tokens + record.usage.output_tokens
        found += [
            Sent(now - attempt.started_at, attempt.endpoint, attempt.key, attempt.model or record.model, tokens)
            for attempt in record.attempts
            if attempt.started_at >= since
        ]
    return found
