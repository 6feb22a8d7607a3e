"""`penstock run --dry-run`: what would be sent, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from penstock.simulator import BackgroundSimulator

if TYPE_CHECKING:
    from tests.cli.conftest import Cli, Ended

ROWS = """\
{"id": "a", "text": "one"}
{"id": "b"}
not json
{"id": "a", "text": "two"}
{"text": "three"}
{"text": "four"}
"""
PROMPT = ("--prompt", "Say {{ text }}")


@pytest.fixture
def dry_run(folder: Path, cli: Cli, sim: BackgroundSimulator) -> Ended:
    """A dry run over rows of which some cannot be used."""
    (folder / "rows.jsonl").write_text(ROWS)
    return cli("run", "rows.jsonl", "--base-url", sim.base_url, "-m", "gpt-4o", *PROMPT, "--dry-run")


def test_it_shows_the_first_three_requests(dry_run: Ended, sim: BackgroundSimulator) -> None:
    """Method, URL and body."""
    assert dry_run.code == 0
    assert dry_run.out.count(f"POST {sim.base_url}/chat/completions") == 3
    assert '"content": "Say one"' in dry_run.out
    assert '"content": "Say four"' in dry_run.out


def test_it_says_which_rows_cannot_be_used_and_why(dry_run: Ended) -> None:
    """With the place of each, as the run would find them."""
    assert "6, of which 3 can be used" in dry_run.out
    assert "rows.jsonl:2: --prompt needs `text`" in dry_run.out
    assert "rows.jsonl:3: It is not valid JSON" in dry_run.out
    assert "rows.jsonl:4: the key 'a' was used before, by row 1" in dry_run.out


@pytest.mark.usefixtures("dry_run")
def test_it_sends_and_writes_nothing(folder: Path, sim: BackgroundSimulator) -> None:
    """No request, no run and no output."""
    assert sim.bill().requests == 0
    assert [path.name for path in folder.iterdir()] == ["rows.jsonl"]


def test_it_estimates_tokens_and_cost(folder: Path, cli: Cli) -> None:
    """Of the input, and at most of the output where that is limited; a missing key is only a warning."""
    (folder / "rows.jsonl").write_text('{"text": "one"}\n' * 1000)
    (folder / "penstock.toml").write_text('[pricing]\n"m" = { input = 1000, output = 2000 }\n')
    ended = cli("run", "rows.jsonl", "-m", "m", *PROMPT, "--param", "max_tokens=10", "--dry-run")
    assert ended.code == 0
    assert "about 2,000 tokens" in ended.out
    assert "at most 10,000 tokens" in ended.out
    assert "at most about $22.00" in ended.out
    assert "warning: There is no API key for the endpoint 'openai'" in ended.out


def test_a_preset_without_its_key_is_only_a_warning(folder: Path, cli: Cli) -> None:
    """It names the variable to set."""
    (folder / "rows.jsonl").write_text('{"text": "one"}\n')
    ended = cli("run", "rows.jsonl", "--endpoint", "poloapi", "-m", "m", *PROMPT, "--dry-run")
    assert ended.code == 0
    assert "warning: There is no API key for the endpoint 'poloapi': POLOAPI_API_KEY is not set." in ended.out


def test_it_shows_what_the_first_endpoint_of_a_pool_would_get(folder: Path, cli: Cli) -> None:
    """Its address, its name for the model and its price; keys that are missing or named twice are told."""
    (folder / "rows.jsonl").write_text('{"text": "one"}\n' * 1000)
    (folder / "penstock.toml").write_text(
        """
        [endpoints.near]
        base_url = "http://127.0.0.1:1/v1"
        api_keys = ["sk-1", "sk-1"]
        models = { m = "theirs" }
        price_multiplier = 0.5
        [endpoints.far]
        base_url = "http://127.0.0.1:2/v1"
        api_key_env = "FAR_API_KEY"
        priority = 2
        [models.m]
        endpoints = ["far", "near"]
        [pricing]
        "theirs" = { input = 1000, output = 2000 }
        """
    )
    ended = cli("run", "rows.jsonl", "-m", "m", *PROMPT, "--param", "max_tokens=10", "--dry-run")
    assert ended.code == 0
    assert ended.out.count("POST http://127.0.0.1:1/v1/chat/completions") == 3
    assert ended.out.count('"model": "theirs"') == 3
    assert "at most about $11.00" in ended.out
    assert "warning: There is no API key for the endpoint 'far': FAR_API_KEY is not set." in ended.out
    assert "api_keys, key 2 is the same key as penstock.toml [endpoints.near] api_keys, key 1" in ended.out


def test_without_a_limit_the_output_is_unknown(dry_run: Ended) -> None:
    """And no price is made up for this machine."""
    assert "unknown: no max_tokens is given" in dry_run.out
    assert "no price known for gpt-4o" in dry_run.out


def test_it_takes_as_many_rows_as_the_run_would(folder: Path, cli: Cli) -> None:
    """With --limit."""
    (folder / "rows.jsonl").write_text('{"text": "one"}\n' * 10)
    ended = cli("run", "rows.jsonl", "--endpoint", "sim", "-m", "m", *PROMPT, "--limit", "4", "--dry-run")
    assert "4, of which 4 can be used" in ended.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("no.jsonl",), "does not exist"),
        (("rows.jsonl", "--endpoint", "nowhere"), "There is no endpoint 'nowhere'"),
        (("rows.jsonl", "--endpoint", "sim", "-m", "m", "--prompt", "{{ a"), "--prompt does not compile"),
        (("rows.jsonl", "--endpoint", "sim", "-m", "m", "-o", "rows.jsonl"), "is the source, and would be written"),
        (("rows.jsonl", "--endpoint", "sim", "-m", "m", "-o", "other.jsonl"), "exists and is not this run's"),
        (("rows.jsonl", "--endpoint", "sim", "-m", "m", "--name", "../x"), "is no name for a run"),
        (("rows.jsonl", "--endpoint", "sim"), "No model is named"),
    ],
)
def test_wrong_usage_is_told_as_by_the_run(folder: Path, cli: Cli, arguments: tuple[str, ...], words: str) -> None:
    """With its exit code."""
    (folder / "rows.jsonl").write_text(ROWS)
    (folder / "other.jsonl").write_text(ROWS)
    ended = cli("run", *arguments, "--dry-run")
    assert ended.code == 2
    assert words in ended.err


def test_a_changed_prompt_on_a_run_that_exists_is_refused(folder: Path, cli: Cli, sim: BackgroundSimulator) -> None:
    """As the run itself would; with the old one it may go on."""
    (folder / "rows.jsonl").write_text('{"text": "one"}\n')
    command = ("run", "rows.jsonl", "--base-url", sim.base_url, "-m", "m")
    assert cli(*command, *PROMPT).code == 0
    ended = cli(*command, "--prompt", "Sing {{ text }}", "--dry-run")
    assert ended.code == 2
    assert "its requests were built differently: prompt" in ended.err
    assert cli(*command, *PROMPT, "--dry-run").code == 0
