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


@pytest.mark.parametrize("key", [f"{KEY}\n", f" {KEY} ", f"\ufeff{KEY}\r\n"])
def test_white_space_around_a_key_does_no_harm(
    cli: Cli, strict_sim: BackgroundSimulator, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    """It is left out, here and in a run."""
    monkeypatch.setenv("OPENAI_API_KEY", key)
    ended = cli("check", "--base-url", strict_sim.base_url, "-m", "small")
    assert ended.code == 0
    assert f"the key from OPENAI_API_KEY has {len(KEY)} characters, all in order" in ended.out


@pytest.fixture(name="pool")
def pool_fixture(folder: Path, strict_sim: BackgroundSimulator) -> None:
    """Two endpoints: one with a good key, one with three of which one is refused and one is not even a key."""
    (folder / "keys.txt").write_text(f"# ours\n{KEY}\nsk-wrong-key-12345\nBearer {KEY}x\n{KEY}\n")
    (folder / "keys.txt").chmod(0o600)
    (folder / "penstock.toml").write_text(
        f"""
        [endpoints.one]
        base_url = "{strict_sim.base_url}"
        api_key = "{KEY}"
        models = {{ "my-model" = "small" }}
        [endpoints.many]
        base_url = "{strict_sim.base_url}"
        api_keys_file = "keys.txt"
        models = {{ "my-model" = "medium" }}
        [models.my-model]
        endpoints = ["one", "many"]
        """
    )


@pytest.mark.usefixtures("pool")
def test_every_key_of_every_endpoint_is_tried(cli: Cli) -> None:
    """One line for each of several, by its label; the exit code tells that one of them is wrong."""
    ended = cli("check", "-m", "my-model")
    lines = ended.out.splitlines()
    assert ended.code == 1
    assert "✓ the key from penstock.toml [endpoints.one] api_key has 18 characters, all in order" in lines
    assert "· keys.txt line 5 is the same key as keys.txt line 2, and is used once" in lines
    assert [line.partition(":")[0] for line in lines if "keys.txt line" in line][1:] == [
        "✓ keys.txt line 2",
        "✗ keys.txt line 3",
        "✗ keys.txt line 4",
    ]
    assert f"✗ keys.txt line 4: has {len(KEY) + 8} characters, of which {len(KEY) + 1} are the key" in lines
    assert "the model 'small' answers" in ended.out
    assert "the model 'medium' answers" in ended.out
    assert KEY not in ended.out + ended.err
    assert "sk-wrong" not in ended.out + ended.err


@pytest.mark.usefixtures("pool")
def test_a_pool_in_order_can_be_used(cli: Cli) -> None:
    """All that is named, and no call where no model is."""
    ended = cli("check", "--endpoint", "one")
    assert ended.code == 0
    ended = cli("check", "--endpoint", "one,many")
    assert ended.code == 1
    assert "✓ keys.txt line 2: the base URL answers in" in ended.out
    assert ended.out.count("no call was made") == 2


def test_several_keys_for_a_server_that_is_not_there(folder: Path, cli: Cli) -> None:
    """That is told once, and not for each of them."""
    (folder / "penstock.toml").write_text(
        '[endpoints.a]\nbase_url = "http://no-such-host.invalid/v1"\napi_key = "k,l"\n'
    )
    ended = cli("check", "--endpoint", "a")
    assert ended.code == 1
    assert ended.out.count("✗") == 1


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
    ended = cli("check", "--base-url", base_url.format(port=port), "--connect-timeout", "20")
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
