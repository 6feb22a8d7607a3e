"""`penstock status`: every state of a run, told from its folder."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from penstock.simulator import BackgroundSimulator

if TYPE_CHECKING:
    from tests.cli.conftest import Cli, LiveRun, WriteTasks

NOBODY = "http://127.0.0.1:9/v1"


def test_without_runs_it_says_so(cli: Cli) -> None:
    """And how to begin."""
    ended = cli("status")
    assert ended.code == 0
    assert "There are no runs in .penstock" in ended.out


@pytest.mark.usefixtures("mixed_run")
def test_every_run_has_a_line(cli: Cli) -> None:
    """With its counts."""
    ended = cli("status")
    assert ended.code == 0
    heading, line = ended.out.splitlines()
    assert heading.split()[:6] == ["run", "state", "done", "failed", "pending", "cost"]
    assert line.split()[:5] == ["job", "finished", "3", "1", "0"]


@pytest.mark.usefixtures("mixed_run")
def test_one_run_is_told_in_detail(cli: Cli) -> None:
    """What failed and why, what stopped short, tokens, outputs and what to do next."""
    ended = cli("status", "job")
    assert ended.code == 0
    for words in (
        "3 done, 1 failed, 0 pending",
        "1 rejected: cannot succeed as they are",
        "1 partial: answers stopped short: length",
        "input and",
        "out.jsonl has them all",
        "penstock retry job",
    ):
        assert words in ended.out
    assert "go on" not in ended.out


@pytest.mark.usefixtures("mixed_run")
def test_json_has_the_same_for_programs(cli: Cli) -> None:
    """A list of runs, or the one that is named."""
    (listed,) = json.loads(cli("status", "--json").out)
    named = json.loads(cli("status", "job", "--json").out)
    assert listed == named
    assert (named["state"], named["settled"], named["totals"]["failed"]) == ("finished", 4, 1)
    assert named["outputs"] == [{"name": "out.jsonl", "delivered": 4, "results": 4}]


def test_a_paused_run_says_why_and_how_to_go_on(
    folder: Path, cli: Cli, sim: BackgroundSimulator, write_tasks: WriteTasks
) -> None:
    """And the command that it tells does go on."""
    write_tasks(folder / "tasks.data", {"a": "one"})
    prompt = ("--prompt", "Say 'it', {{ prompt }}", "--param", 'stop=["x"]', "--param", "user=me")
    cli(
        "run",
        "jsonl:tasks.data",
        "--base-url",
        NOBODY,
        "-m",
        "m",
        "--patience",
        "0.01",
        "--rpm",
        "600",
        *prompt,
        "-o",
        "out.csv",
    )
    told = json.loads(cli("status", "--json").out)[0]
    assert told["state"] == "paused"
    assert "connection refused" in told["reason"]
    assert told["go_on"].startswith("penstock run jsonl:tasks.data --model m")
    assert "--rpm 600 " in told["go_on"]
    assert "out.csv: no answers yet" in cli("status", told["run"]).out
    mended = [sim.base_url if word == NOBODY else word for word in shlex.split(told["go_on"])[1:]]
    assert cli(*mended).code == 0
    assert json.loads(cli("status", "--json").out)[0]["state"] == "finished"


def test_a_killed_run_is_told_from_a_running_one(cli: Cli, live_run: LiveRun) -> None:
    """By its lock, which the kernel lets go."""
    assert "running" in cli("status", "live", "--home", live_run.home).out
    live_run.kill()
    ended = cli("status", "live", "--home", live_run.home)
    assert "killed: it never ended" in ended.out
    assert "1 done, 0 failed, 1 pending" in ended.out
    assert "penstock run" in ended.out


def test_a_damaged_journal_hides_no_other_run(folder: Path, cli: Cli) -> None:
    """It has a line of its own."""
    (folder / ".penstock" / "broken").mkdir(parents=True)
    (folder / ".penstock" / "broken" / "journal.db").write_bytes(b"no database at all")
    ended = cli("status")
    assert ended.code == 0
    assert "damaged" in ended.out


@pytest.mark.usefixtures("mixed_run")
def test_an_unknown_run_is_wrong_usage(cli: Cli) -> None:
    """The message names those that there are."""
    ended = cli("status", "jbo")
    assert ended.code == 2
    assert "Runs there: job" in ended.err
