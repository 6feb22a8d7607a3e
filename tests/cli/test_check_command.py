"""`penstock check`: each thing that is commonly wrong, told with how to mend it."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from penstock.simulator import BackgroundSimulator

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

KEY = "sk-simulated-key-1"


@pytest.fixture
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.mark.usefixtures("_key")
def test_an_endpoint_in_order_can_be_used(cli: Cli, strict_sim: BackgroundSimulator) -> None:
    """Key, models, a call and the limits that it names."""
    ended = cli("check", "--base-url", strict_sim.base_url, "-m", "small")
    assert ended.code == 0
    assert [line[0] for line in ended.out.splitlines() if line] == ["·", "✓", "✓", "✓", "✓", "I"]
    assert "models it lists: 2" in ended.out
    assert "the model 'small' answers in" in ended.out
    assert "600 requests" in ended.out


@pytest.mark.usefixtures("_key")
def test_without_a_model_no_call_is_made(cli: Cli, strict_sim: BackgroundSimulator) -> None:
    """The models are told."""
    before = strict_sim.bill().billed
    ended = cli("check", "--base-url", strict_sim.base_url)
    assert ended.code == 0
    assert "It has small, medium." in ended.out
    assert strict_sim.bill().billed == before


@pytest.mark.usefixtures("_key")
def test_a_model_with_a_slip_gets_the_nearest_name(cli: Cli, strict_sim: BackgroundSimulator) -> None:
    """From the list of models."""
    ended = cli("check", "--base-url", strict_sim.base_url, "-m", "smal")
    assert ended.code == 1
    assert "Did you mean small?" in ended.out


@pytest.mark.usefixtures("_key")
@pytest.mark.parametrize("path", ["", "/v1/chat/completions"])
def test_a_base_url_that_is_nearly_right_is_put_right(cli: Cli, strict_sim: BackgroundSimulator, path: str) -> None:
    """Without /v1, or with the path of a call behind it."""
    ended = cli("check", "--base-url", strict_sim.base_url.removesuffix("/v1") + path, "-m", "small")
    assert ended.code == 1
    assert f"Use --base-url {strict_sim.base_url}\n" in ended.out


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (f"{KEY}\n", f"character {len(KEY) + 1} is a line break"),
        (f'"{KEY}"', "character 1 is a quotation mark"),
        (f"Bearer {KEY}", "it begins with the word Bearer"),
        (f"{KEY[:5]}\u200b{KEY[5:]}", "character 6 is zero width space"),
    ],
)
def test_a_key_with_something_around_it_is_told_without_showing_it(
    cli: Cli, strict_sim: BackgroundSimulator, monkeypatch: pytest.MonkeyPatch, key: str, words: str
) -> None:
    """And the rest is tried with what remains of it."""
    monkeypatch.setenv("OPENAI_API_KEY", key)
    ended = cli("check", "--base-url", strict_sim.base_url, "-m", "small")
    assert ended.code == 1
    assert words in ended.out
    assert "the model 'small' answers" in ended.out
    assert KEY not in ended.out + ended.err


def test_a_key_that_is_refused(cli: Cli, strict_sim: BackgroundSimulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the words of the provider, without the key."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong-key-12345")
    ended = cli("check", "--base-url", strict_sim.base_url, "-m", "small")
    assert ended.code == 1
    assert "Incorrect API key provided" in ended.out
    assert "sk-wrong-key-12345" not in ended.out


def test_a_key_that_is_missing(cli: Cli, strict_sim: BackgroundSimulator) -> None:
    """With the variable to set."""
    ended = cli("check", "--base-url", strict_sim.base_url)
    assert ended.code == 1
    assert "export OPENAI_API_KEY=" in ended.out


def test_a_preset_without_its_key_is_checked_all_the_same(
    folder: Path, cli: Cli, strict_sim: BackgroundSimulator
) -> None:
    """Its own variable is named, and the rest is tried without a key."""
    (folder / "penstock.toml").write_text(f'[endpoints.poloapi]\nbase_url = "{strict_sim.base_url}"\n')
    ended = cli("check", "--endpoint", "poloapi")
    assert ended.code == 1
    assert "✗ no key is sent: POLOAPI_API_KEY is not set" in ended.out
    assert "asked for its models it says" in ended.out


@pytest.mark.parametrize(
    ("base_url", "words"),
    [
        ("http://127.0.0.1:{port}/v1", "connection refused by 127.0.0.1"),
        ("http://no-such-host.invalid/v1", "no-such-host.invalid"),
    ],
)
def test_a_server_that_is_not_there(cli: Cli, base_url: str, words: str) -> None:
    """A closed port, or a name without an address."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    ended = cli("check", "--base-url", base_url.format(port=port), "--connect-timeout", "2")
    assert ended.code == 1
    assert words in ended.out


def test_https_to_a_server_without_it(cli: Cli, sim: BackgroundSimulator) -> None:
    """The other scheme is proposed."""
    ended = cli("check", "--base-url", sim.base_url.replace("http:", "https:"))
    assert ended.code == 1
    assert "begin the base URL with http://" in ended.out


def test_wrong_usage_is_2(cli: Cli) -> None:
    """As everywhere."""
    assert cli("check", "--endpoint", "nowhere").code == 2
