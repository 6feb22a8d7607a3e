"""Whether a run that exists may go on with what it is given now: answers to different requests are not mixed."""

from typing import Any

import msgspec

from penstock.errors import RunChanged, UsageError
from penstock.journal.journal import Journal
from penstock.options import SHAPES_REQUEST, RunOptions


def refuse_changes(journal: Journal, options: RunOptions) -> None:
    """Raise `RunChanged` where there are answers to other requests. Where there is none yet, they may change."""
    now = {name: getattr(options, name) for name in SHAPES_REQUEST}
    before = {"stream": False} | (journal.recall("request") or now)
    changed = [name for name in SHAPES_REQUEST if before.get(name) != now[name]]
    totals = journal.totals
    if totals.accepted > 0 and changed and (totals.ok + totals.partial > 0 or "key" in changed):
        differences = "\n".join(
            f"  {name}: {_shown(before.get(name))} then, {_shown(now[name])} now" for name in changed
        )
        raise RunChanged(
            f"The run {journal.folder.name!r} exists, and its requests were built differently:\n{differences}",
            "Go on with the old options, give this one a name of its own with --name, or begin anew with --fresh.",
        )
    if changed:
        journal.reopen_failures()
    journal.remember("request", now)


def refuse_other_source(journal: Journal, identity: dict[str, Any]) -> None:
    """Raise `RunChanged` where tasks were taken from another source."""
    before = journal.recall("source")
    if journal.totals.accepted > 0 and before != identity:
        raise RunChanged(
            f"The run {journal.folder.name!r} began with another source:\n"
            f"  {_shown(before)} then, {_shown(identity)} now",
            "Give this one a name of its own with --name, or begin anew with --fresh.",
        )


def refuse_early_retry(journal: Journal) -> None:
    """Raise `UsageError` on a run that has not read its source to the end: a retry reads none."""
    ending = journal.recall("ending") or {}
    if not (ending.get("exhausted") or journal.recall("exhausted")):
        raise UsageError(
            f"The run {journal.folder.name!r} has not come to its end: it is too early to retry what failed.",
            "Go on with it first: `penstock status RUN` shows the command.",
        )


def _shown(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 80 else f"{text[:77]}…"
