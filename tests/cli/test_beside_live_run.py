"""Commands that look into a run while another process works on it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Cli, LiveRun


def test_status_says_that_it_runs(cli: Cli, shared_live_run: LiveRun) -> None:
    """And no command to go on with, since it is going on."""
    told = json.loads(cli("status", "live", "--home", shared_live_run.home, "--json").out)
    assert (told["state"], told["settled"], told["pending"], told["go_on"]) == ("running", 1, 1, None)


def test_export_writes_what_is_settled(cli: Cli, shared_live_run: LiveRun) -> None:
    """So far."""
    ended = cli("export", "live", "--home", shared_live_run.home)
    assert ended.code == 0
    assert [json.loads(line)["key"] for line in ended.out.splitlines()] == ["done"]


def test_export_leaves_the_outputs_of_the_run_alone(
    cli: Cli, shared_live_run: LiveRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even when told to overwrite: two processes would write to one file."""
    monkeypatch.chdir(shared_live_run.output.parent)
    ended = cli("export", "live", "--home", "home", "-o", shared_live_run.output.name, "--overwrite")
    assert ended.code == 2
    assert "is an output of the run itself" in ended.err


def test_show_has_no_answer_yet(cli: Cli, shared_live_run: LiveRun) -> None:
    """Of a task that waits for it."""
    assert "pending: not settled yet" in cli("show", "live", "stuck", "--home", shared_live_run.home).out


def test_verify_checks_the_journal_alone(cli: Cli, shared_live_run: LiveRun) -> None:
    """Outputs change while it looks."""
    ended = cli("verify", "live", "--home", shared_live_run.home)
    assert ended.code == 0
    assert "2 tasks taken, 1 answered, 0 failed, 1 pending" in ended.out
    assert "outputs were not compared" in ended.out


def test_prune_refuses_it(cli: Cli, shared_live_run: LiveRun) -> None:
    """By name, and passes over it without."""
    named = cli("prune", "live", "--yes", "--home", shared_live_run.home)
    assert named.code == 2
    assert "is working on the run 'live'" in named.err
    assert "nothing to delete" in cli("prune", "--yes", "--home", shared_live_run.home).out
