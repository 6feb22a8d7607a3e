"""`penstock run`: exit codes, defaults, and what is refused before anything is sent."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from penstock.cli.launching import _command_to_go_on
from penstock.simulator import BackgroundSimulator

if TYPE_CHECKING:
    from tests.cli.conftest import Cli, Ended, LiveRun, ReadLines, WriteTasks


def test_all_succeeded_is_0(folder: Path, cli: Cli, sim: BackgroundSimulator, write_tasks: WriteTasks) -> None:
    """Results go to a file that is named after the source."""
    write_tasks(folder / "my tasks.jsonl", {"a": "one", "b": "two"})
    ended = cli("run", "my tasks.jsonl", "--base-url", sim.base_url, "-m", "m")
    assert ended.code == 0
    assert (folder / "my-tasks.results.jsonl").read_text().count("\n") == 2


def test_finished_with_failures_is_1(mixed_run: Ended, folder: Path, read_lines: ReadLines) -> None:
    """The others are answered."""
    assert mixed_run.code == 1
    assert [line["key"] for line in read_lines(folder / "out.jsonl")] == ["b", "a", "short"]
    assert "penstock retry job" in mixed_run.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("no.jsonl",), "does not exist"),
        (("tasks.jsonl", "--endpoint", "nowhere"), "There is no endpoint 'nowhere'"),
        (("tasks.jsonl", "--concurrency", "0"), "--concurrency must be auto or a whole number of at least 1; it is 0"),
        (("tasks.jsonl", "--endpoint", "sim", "-m", "m", "--prompt", "{{ a"), "--prompt does not compile"),
        (("tasks.jsonl", "--param", "temperature"), "is not of the form NAME=VALUE"),
        (("tasks.jsonl", "--endpoint", "sim", "-o", "out.xyz"), "no kind of output"),
        (("tasks.jsonl",), "There is no API key for the endpoint 'openai'"),
        (("tasks.jsonl", "--endpoint", "sim"), "No model is named"),
        (("tasks.jsonl", "--json", "-o", "-"), "would both write to standard output"),
        (("-", "--json"), "would both write to standard output"),
    ],
)
def test_wrong_usage_is_2(
    folder: Path, cli: Cli, write_tasks: WriteTasks, arguments: tuple[str, ...], words: str
) -> None:
    """Said before anything is sent or written."""
    write_tasks(folder / "tasks.jsonl", {"a": "one"})
    ended = cli("run", *arguments)
    assert ended.code == 2
    assert words in ended.err
    assert [path.name for path in folder.iterdir()] == ["tasks.jsonl"]


@pytest.mark.parametrize(
    "row",
    [
        '{"prompt": "one", "model": "m"}',
        '{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m", "messages": []}}',
    ],
)
def test_a_model_in_the_rows_is_enough(folder: Path, cli: Cli, sim: BackgroundSimulator, row: str) -> None:
    """In the row itself or in the body of a Batch line."""
    (folder / "tasks.jsonl").write_text(row + "\n")
    assert cli("run", "tasks.jsonl", "--base-url", sim.base_url, "--dry-run").code == 0


def test_bad_rows_are_told_with_their_place_and_no_retry(folder: Path, cli: Cli, sim: BackgroundSimulator) -> None:
    """They were never sent: what helps is to mend them."""
    (folder / "tasks.jsonl").write_text('{"prompt": "one"}\nnot json\n')
    ended = cli("run", "tasks.jsonl", "--base-url", sim.base_url, "-m", "m", "-o", "out.jsonl")
    assert ended.code == 1
    assert "1 not sent    no request can be made of the row:" in ended.err
    assert "tasks.jsonl:2: It is not valid JSON" in ended.err
    assert "Mend the bad rows in out.failed.jsonl, then run that file as a source." in ended.err
    assert "penstock retry" not in ended.err
    assert "rejected" not in ended.err


def test_an_empty_source_is_told(folder: Path, cli: Cli, sim: BackgroundSimulator) -> None:
    """It is no failure, but rarely what was meant."""
    (folder / "tasks.jsonl").write_text("")
    ended = cli("run", "tasks.jsonl", "--base-url", sim.base_url, "-m", "m")
    assert ended.code == 0
    assert "The source has no rows." in ended.err


def test_a_wrong_key_pauses_with_3(
    folder: Path,
    cli: Cli,
    strict_sim: BackgroundSimulator,
    write_tasks: WriteTasks,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The tasks stay pending, and the same command goes on."""
    write_tasks(folder / "tasks.jsonl", {"a": "one"})
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong-key-12345")
    command = ("run", "tasks.jsonl", "--base-url", strict_sim.base_url, "-m", "small")
    ended = cli(*command)
    assert ended.code == 3
    assert "sk-wrong-key-12345" not in ended.err
    monkeypatch.setenv("OPENAI_API_KEY", "sk-simulated-key-1")
    assert cli(*command).code == 0


def test_given_up_by_two_signals_is_130(live_run: LiveRun) -> None:
    """The first waits for what is in flight, the second does not."""
    live_run.signal(signal.SIGINT)
    live_run.wait_event("notice")
    live_run.signal(signal.SIGINT)
    assert live_run.wait() == 130


def test_options_come_from_the_environment_and_the_file_too(
    folder: Path, cli: Cli, sim: BackgroundSimulator, write_tasks: WriteTasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under the names that help tells."""
    write_tasks(folder / "tasks.jsonl", {"a": "one"})
    (folder / "penstock.toml").write_text(f'[run]\nbase_url = "{sim.base_url}"\n')
    monkeypatch.setenv("PENSTOCK_MODEL", "m")
    assert cli("run", "tasks.jsonl").code == 0


def test_the_command_to_go_on_throws_nothing_away() -> None:
    """A run begun with --fresh is gone on with without it."""
    typed = ["run", "my rows.csv", "--fresh", "-o", "out.csv"]
    assert _command_to_go_on(typed) == "penstock run 'my rows.csv' -o out.csv"
