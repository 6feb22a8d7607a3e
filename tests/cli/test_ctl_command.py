"""`penstock ctl`: words on the command line become commands to a run that works, and its words come back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from penstock.control.commands import Drain, Pause, ReloadKeys, Resume, SetValue, Stop
from penstock.journal.lock import RunLock

if TYPE_CHECKING:
    from tests.cli.conftest import Cli, ListeningRun, WriteTasks

    from penstock.control.commands import Command

NOBODY = "http://127.0.0.1:9/v1"


@pytest.mark.parametrize(
    ("words", "commands"),
    [
        (["pause"], [Pause()]),
        (["resume"], [Resume()]),
        (["set", "concurrency=50"], [SetValue("concurrency", 50)]),
        (["set", "max-concurrency=9"], [SetValue("max_concurrency", 9)]),
        (
            ["set", "concurrency=auto", "rpm=600", "tpm=none", "budget=2.5"],
            [SetValue("concurrency", "auto"), SetValue("rpm", 600.0), SetValue("tpm", None), SetValue("budget", 2.5)],
        ),
        (
            ["set", "concurrency=auto", "max-concurrency=400"],
            [SetValue("max_concurrency", 400), SetValue("concurrency", "auto")],
        ),
        (["keys", "reload"], [ReloadKeys()]),
        (["drain"], [Drain()]),
        (["stop"], [Stop()]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value[0], str) else "",
)
def test_words_become_commands(
    cli: Cli, listening_run: ListeningRun, words: list[str], commands: list[Command]
) -> None:
    """Each is answered with a line."""
    ended = cli("ctl", "job", *words)
    assert (ended.code, ended.err) == (0, "")
    assert listening_run.commands == commands
    assert ended.out.splitlines() == [f"Done: {type(command).__name__}." for command in commands]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["fly"], "fly"),
        (["pause", "now"], "pause takes nothing more: 'now' is too much."),
        (["set"], "Such as: penstock ctl RUN set concurrency=50"),
        (["set", "rpm"], "'rpm' is not of the form NAME=VALUE"),
        (["set", "rpm=600", "concurrency=0"], "concurrency must be auto or a whole number of at least 1; it is 0"),
        (["set", "model=m"], "'model' cannot be set while a run works"),
        (["keys"], "It is: penstock ctl RUN keys reload"),
        (["keys", "remove"], "It is: penstock ctl RUN keys reload"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_words_that_are_wrong_send_nothing(cli: Cli, listening_run: ListeningRun, words: list[str], told: str) -> None:
    """Not even those that stand beside them."""
    ended = cli("ctl", "job", *words)
    assert ended.code == 2
    assert told in ended.err
    assert listening_run.commands == []


def test_what_the_run_refuses_is_wrong_usage(cli: Cli, listening_run: ListeningRun) -> None:
    """In its own words."""
    listening_run.refusal = "There is no price for that."
    ended = cli("ctl", "job", "set", "budget=5")
    assert (ended.code, ended.out) == (2, "")
    assert "There is no price for that." in ended.err


@pytest.mark.usefixtures("mixed_run")
def test_a_run_that_has_ended_cannot_be_controlled(cli: Cli) -> None:
    """It is said how to see how it stands."""
    ended = cli("ctl", "job", "pause")
    assert ended.code == 2
    assert "No process works on the run 'job'" in ended.err
    assert "penstock status job" in ended.err


def test_a_run_that_can_go_on_takes_options_then(folder: Path, cli: Cli, write_tasks: WriteTasks) -> None:
    """The command for it is told."""
    write_tasks(folder / "tasks.jsonl", {"a": "one"})
    run = ("tasks.jsonl", "--base-url", NOBODY, "-m", "m", "--patience", "0.01", "-o", "out.jsonl", "--name", "job")
    assert cli("run", *run).code == 3
    ended = cli("ctl", "job", "set", "rpm=60")
    assert ended.code == 2
    assert "Options are given when it goes on: penstock run tasks.jsonl" in ended.err


@pytest.mark.usefixtures("mixed_run")
def test_a_run_that_does_not_listen_is_told_from_one_that_does_not_run(cli: Cli) -> None:
    """It works, and will be there in a moment."""
    with RunLock(Path(".penstock/job")):
        ended = cli("ctl", "job", "pause")
    assert ended.code == 2
    assert "The run 'job' does not listen" in ended.err


def test_an_unknown_run_is_named(cli: Cli) -> None:
    """As by every command."""
    ended = cli("ctl", "jbo", "pause")
    assert ended.code == 2
    assert "There is no run 'jbo'" in ended.err
