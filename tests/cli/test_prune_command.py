"""`penstock prune`: records of runs go, outputs stay."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Cli, WriteTasks


@pytest.fixture
def paused_run(folder: Path, cli: Cli, write_tasks: WriteTasks) -> Path:
    """The folder of a run that paused."""
    write_tasks(folder / "paused.jsonl", {"a": "one"})
    command = ("run", "paused.jsonl", "--base-url", "http://127.0.0.1:9/v1", "-m", "m", "--patience", "0.01")
    assert cli(*command, "--name", "paused").code == 3
    return folder / ".penstock" / "paused"


@pytest.mark.usefixtures("mixed_run")
def test_a_finished_run_goes_and_its_outputs_stay(folder: Path, cli: Cli) -> None:
    """With its size told."""
    ended = cli("prune", "--yes")
    assert ended.code == 0
    assert "MB" in ended.out
    assert "Deleted 1." in ended.out
    assert list((folder / ".penstock").iterdir()) == []
    assert (folder / "out.jsonl").exists()
    assert (folder / "out.failed.jsonl").exists()


@pytest.mark.usefixtures("mixed_run")
def test_without_a_terminal_it_wants_yes(folder: Path, cli: Cli) -> None:
    """It lists what would go, and deletes nothing."""
    ended = cli("prune")
    assert ended.code == 2
    assert "job" in ended.out
    assert "--yes" in ended.err
    assert (folder / ".penstock" / "job" / "journal.db").exists()


def test_a_run_that_did_not_finish_goes_only_by_name(cli: Cli, paused_run: Path) -> None:
    """Its tasks are pending."""
    assert "nothing to delete" in cli("prune", "--yes").out
    assert paused_run.exists()
    assert cli("prune", "paused", "--yes").code == 0
    assert not paused_run.exists()


@pytest.mark.usefixtures("mixed_run")
def test_runs_that_changed_lately_may_be_kept(cli: Cli) -> None:
    """With --older-than."""
    assert "nothing to delete" in cli("prune", "--older-than", "1", "--yes").out
    assert "Deleted 1." in cli("prune", "--older-than", "0", "--yes").out


@pytest.mark.usefixtures("mixed_run")
def test_files_that_are_not_of_the_run_are_kept(folder: Path, cli: Cli) -> None:
    """Such as an output that was put into its folder."""
    output = folder / ".penstock" / "job" / "results.jsonl"
    output.write_text("{}\n")
    assert cli("prune", "--yes").code == 0
    assert [path.name for path in output.parent.iterdir()] == [output.name]


@pytest.mark.usefixtures("mixed_run")
def test_a_name_that_is_not_there_deletes_nothing(folder: Path, cli: Cli) -> None:
    """Not even the runs that are."""
    assert cli("prune", "job", "jbo", "--yes").code == 2
    assert (folder / ".penstock" / "job" / "journal.db").exists()
