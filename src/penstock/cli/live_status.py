"""What a run that is working says of itself: what is in flight, what holds calls back, and what was changed and why."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import structs

from penstock.errors import UsageError

if TYPE_CHECKING:
    from penstock.cli.run_status import RunStatus
    from penstock.events import Change, ScopeStatus, Snapshot

CHANGES_SHOWN = 5

Facts = list[tuple[str, str]]


def with_live(run: "RunStatus") -> "RunStatus":
    """The run with what it says of itself, where a process works on it and answers."""
    from penstock.cli.run_status import State

    if run.state is not State.RUNNING:
        return run
    from penstock.control.client import look

    try:
        return structs.replace(run, live=look(Path(run.folder)))
    except UsageError:
        return run


def live_facts(run: "RunStatus") -> Facts:
    """The same for a person, as facts with labels; none of a run that nobody works on."""
    from penstock.cli.run_status import State

    if run.state is not State.RUNNING:
        return []
    if run.live is None:
        return [("now", "it does not answer: it is starting or ending, or its folder takes no sockets")]
    facts = [("now", _calls(run.live) + _backing_off(run.live)), ("binds", run.live.binds)]
    for scope in run.live.scopes:
        facts += _scope_facts(scope, time.time())
    return facts


def _scope_facts(scope: "ScopeStatus", now_unix_s: float) -> Iterator[tuple[str, str]]:
    """Which it is, how it stands, and the last changes, the newest first."""
    limits = [
        f"{_amount(value)} {name}" for name, value in (("rpm", scope.rpm), ("tpm", scope.tpm)) if value is not None
    ]
    yield "scope", " · ".join(part for part in (scope.endpoint, scope.key, scope.model) if part)
    yield "", ", ".join([_calls(scope), *limits])
    yield "", f"binds: {scope.binds}"
    for change in scope.changes[: -CHANGES_SHOWN - 1 : -1]:
        yield "", _changed(change, now_unix_s)


def _calls(counted: "Snapshot | ScopeStatus") -> str:
    from penstock.observe.words import count

    return f"{count(counted.in_flight)} of {count(counted.limit)} calls in flight"


def _backing_off(snapshot: "Snapshot") -> str:
    from penstock.observe.words import count

    return f", {count(snapshot.waiting)} tasks in back-off" if snapshot.waiting else ""


def _changed(change: "Change", now_unix_s: float) -> str:
    """Such as "12 s ago: rpm 600 → 510, 429"."""
    from penstock.observe.words import duration

    before = "" if change.old is None else f"{_amount(change.old)} → "
    after = "no limit" if change.new is None else _amount(change.new)
    return f"{duration(max(0.0, now_unix_s - change.at))} ago: {change.what} {before}{after}, {change.why}"


def _amount(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.3g}"
