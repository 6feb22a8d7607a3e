"""`penstock status` of a run that is working: what it says of itself."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from penstock.events import Change, ScopeStatus
from penstock.journal.lock import RunLock

if TYPE_CHECKING:
    from tests.cli.conftest import Cli, ListeningRun

AN_HOUR_S = 3600.0


def changes(count: int) -> tuple[Change, ...]:
    """So many cuts of a limit, the newest at the end, an hour ago as long as the test lasts."""
    return tuple(Change(time.time() - AN_HOUR_S, "rpm", 1000.0 - i, 999.0 - i, f"cut {i}") for i in range(count))


def test_every_scope_says_what_limits_it(cli: Cli, listening_run: ListeningRun) -> None:
    """Its limits, what is in flight, what binds, and why limits changed."""
    cut = Change(time.time() - AN_HOUR_S, "rpm", 1600.0, 1360.0, "429 from the provider")
    found = Change(time.time() - AN_HOUR_S, "concurrency", None, 20.0, "the start")
    lifted = Change(time.time() - AN_HOUR_S, "tpm", 2.5, None, "penstock ctl")
    listening_run.show(
        in_flight=1234,
        limit=5000,
        waiting=7,
        binds="rpm 1,360",
        scopes=(
            ScopeStatus("one", "key 1", "m", 3000, 1200, 1360.0, 2e6, "rpm 1,360", (found, cut)),
            ScopeStatus("two", "key 1", "m-large", 2000, 34, None, None, "nothing", (lifted,)),
        ),
    )
    ended = cli("status", "job")
    assert ended.code == 0
    told = ended.out.splitlines()
    start = next(number for number, line in enumerate(told) if line.startswith("now"))
    assert told[start : start + 11] == [
        "now       1,234 of 5,000 calls in flight, 7 tasks in back-off",
        "binds     rpm 1,360",
        "scope     one · key 1 · m",
        "          1,200 of 3,000 calls in flight, 1,360 rpm, 2,000,000 tpm",
        "          binds: rpm 1,360",
        "          1 h 0 min ago: rpm 1,600 → 1,360, 429 from the provider",
        "          1 h 0 min ago: concurrency 20, the start",
        "scope     two · key 1 · m-large",
        "          34 of 2,000 calls in flight",
        "          binds: nothing",
        "          1 h 0 min ago: tpm 2.5 → no limit, penstock ctl",
    ]


def test_a_paused_run_says_so(cli: Cli, listening_run: ListeningRun) -> None:
    """While its process waits."""
    listening_run.show(binds="paused, until penstock ctl resume")
    out = cli("status", "job").out
    assert "state     running" in out
    assert "binds     paused, until penstock ctl resume" in out


def test_only_the_last_changes_are_shown(cli: Cli, listening_run: ListeningRun) -> None:
    """The newest first; programs get them all."""
    scope = ScopeStatus("one", "key 1", "m", 30, 12, None, None, "nothing", changes(9))
    listening_run.show(scopes=(scope,))
    told = [line.rpartition(", ")[2] for line in cli("status", "job").out.splitlines() if " ago: rpm" in line]
    assert told == ["cut 8", "cut 7", "cut 6", "cut 5", "cut 4"]
    assert len(json.loads(cli("status", "job", "--json").out)["live"]["scopes"][0]["changes"]) == 9


def test_json_has_the_whole_snapshot(cli: Cli, listening_run: ListeningRun) -> None:
    """Of the run that is named, and of every run in the list."""
    listening_run.show(binds="concurrency 20", scopes=(ScopeStatus("one", "key 1", "m", 30, 12, None, None, "rpm"),))
    named = json.loads(cli("status", "job", "--json").out)
    (listed,) = json.loads(cli("status", "--json").out)
    assert named["state"] == "running"
    assert named["live"] == listed["live"] == json.loads(msgspec.json.encode(listening_run.live()))


@pytest.mark.usefixtures("mixed_run")
def test_a_run_that_has_ended_is_read_from_disk_alone(cli: Cli) -> None:
    """Nobody is asked."""
    assert json.loads(cli("status", "job", "--json").out)["live"] is None
    assert not any(line.startswith(("now", "binds", "scope")) for line in cli("status", "job").out.splitlines())


@pytest.mark.usefixtures("mixed_run")
def test_a_run_that_does_not_answer_is_read_from_disk_too(cli: Cli) -> None:
    """And it is said that it does not."""
    with RunLock(Path(".penstock/job")):
        ended = cli("status", "job")
        told = json.loads(cli("status", "job", "--json").out)
    assert "now       it does not answer" in ended.out
    assert "3 done, 1 failed" in ended.out
    assert (told["state"], told["live"]) == ("running", None)
