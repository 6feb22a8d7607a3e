"""`penstock retry`: only what failed is sent again, as the run was or as it is told."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from penstock.simulator import BackgroundSimulator, SimulatorSettings, running

if TYPE_CHECKING:
    from tests.cli.conftest import Cli, ReadLines, WriteTasks

KEY = "sk-simulated-key-1"


def test_another_model_answers_what_failed(
    folder: Path, cli: Cli, write_tasks: WriteTasks, read_lines: ReadLines
) -> None:
    """Its answers take their places in the run's own outputs, and nothing that was answered is asked again."""
    write_tasks(folder / "two.jsonl", {"a": "one", "b": "[[fault:status=400]]"})
    with running() as sim:
        cli("run", "two.jsonl", "--base-url", sim.base_url, "-m", "first", "-o", "two.csv", "-o", "two-out.jsonl")
        ended = cli("retry", "two-to-two", "-m", "second", "--prompt", "Say {{ id }}")
        assert sim.bill().requests == 3
    assert ended.code == 0
    assert [(line["key"], line["model"]) for line in read_lines(folder / "two-out.jsonl")] == [
        ("a", "first"),
        ("b", "second"),
    ]
    assert (folder / "two.csv").read_text().count("second") == 1
    assert not (folder / "two.failed.jsonl").exists()


@pytest.mark.usefixtures("mixed_run")
def test_what_fails_again_is_1(cli: Cli) -> None:
    """As with run."""
    assert cli("retry", "job").code == 1


@pytest.mark.usefixtures("mixed_run")
def test_another_endpoint_gets_its_own_key_and_the_old_one_does_not(
    folder: Path, cli: Cli, sim: BackgroundSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The base URL of the run is not kept when an endpoint is named."""
    before = sim.bill().requests
    with running(SimulatorSettings(api_keys=(KEY,))) as other:
        (folder / "penstock.toml").write_text(
            f'[endpoints.other]\nbase_url = "{other.base_url}"\napi_key_env = "OTHER_KEY"\n'
        )
        monkeypatch.setenv("OTHER_KEY", KEY)
        cli("retry", "job", "--endpoint", "other")
        assert other.bill().requests == 1
    assert sim.bill().requests == before


def test_a_run_that_is_not_there_is_wrong_usage(cli: Cli) -> None:
    """The message names those that there are."""
    ended = cli("retry", "nothing")
    assert ended.code == 2
    assert "Runs there: none" in ended.err
