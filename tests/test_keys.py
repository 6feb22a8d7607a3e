"""The keys of an endpoint: from variables, tables and files, each once, told by where it stands."""

import os
from pathlib import Path
from typing import Any

import pytest

from penstock.endpoints import Endpoint, Key, resolve_endpoint
from penstock.errors import UsageError
from penstock.redaction import Secret

URL = "https://mine.example/v1"
WHERE = "penstock.toml [endpoints.mine]"


def of_table(environ: dict[str, str] | None = None, /, **table: Any) -> Endpoint:
    """The endpoint of this table."""
    return resolve_endpoint("mine", None, environ or {}, {"endpoints": {"mine": {"base_url": URL} | table}})


def keys(endpoint: Endpoint) -> list[tuple[str, str]]:
    """Each key with its label."""
    return [(key.secret.reveal() if key.secret else "", key.label) for key in endpoint.keys]


@pytest.fixture(name="key_file")
def key_file_fixture(tmp_path: Path) -> Path:
    """A file of keys that nobody else can read, with much around them."""
    path = tmp_path / "keys.txt"
    path.write_bytes("\ufeffsk-1\r\n\n  # the old one: sk-0\r\n\tsk-2 \n\u3000sk-3".encode())
    path.chmod(0o600)
    return path


def test_every_key_that_is_named_is_used(key_file: Path) -> None:
    """With a label that says where it stands and not what it is."""
    endpoint = of_table(
        {"ONE": "sk-4", "TWO": "sk-5"},
        api_key="sk-6",
        api_keys=["sk-7", "sk-8"],
        api_key_env="ONE",
        api_keys_env=["TWO"],
        api_keys_file=str(key_file),
    )
    assert keys(endpoint) == [
        ("sk-6", f"{WHERE} api_key"),
        ("sk-7", f"{WHERE} api_keys, key 1"),
        ("sk-8", f"{WHERE} api_keys, key 2"),
        ("sk-4", "ONE"),
        ("sk-5", "TWO"),
        ("sk-1", "keys.txt line 1"),
        ("sk-2", "keys.txt line 4"),
        ("sk-3", "keys.txt line 5"),
    ]
    assert (endpoint.api_key, endpoint.key_from) == (Secret("sk-6"), f"{WHERE} api_key")
    assert endpoint.keys_file == str(key_file)
    assert "sk-" not in repr(endpoint)


@pytest.mark.parametrize("text", ["sk-1,sk-2", " sk-1 ,\tsk-2,", "sk-1\nsk-2\n", "sk-1，sk-2", "\ufeffsk-1\r\n,sk-2"])
def test_a_variable_may_hold_several_keys(text: str) -> None:
    """With commas or line breaks between, as other programs have them."""
    two = [("sk-1", "MINE, key 1"), ("sk-2", "MINE, key 2")]
    assert keys(of_table({"MINE": text}, api_key_env="MINE")) == two
    openai = resolve_endpoint(None, URL, {"OPENAI_API_KEY": text}, {})
    assert keys(openai) == [(key, label.replace("MINE", "OPENAI_API_KEY")) for key, label in two]


def test_a_key_has_no_white_space_around_it() -> None:
    """Wherever it came from: the usual reason for a 401."""
    assert keys(resolve_endpoint("openai", None, {"OPENAI_API_KEY": "\ufeff sk-1\r\n"}, {})) == [
        ("sk-1", "OPENAI_API_KEY")
    ]
    assert keys(of_table(api_key=" sk-1\n")) == [("sk-1", f"{WHERE} api_key")]


@pytest.mark.parametrize("key", ["sk 1", "Bearer sk-1", "sk-\t1", "sk-\u200b1", "sk-\u00a01"])
def test_a_key_with_something_invisible_in_it_is_refused(key: str) -> None:
    """By its label; who only wants to look may look."""
    with pytest.raises(UsageError, match="The key from MINE, key 2 has white space or an invisible") as caught:
        of_table({"MINE": f"sk-0,{key}"}, api_key_env="MINE")
    assert "sk" not in str(caught.value)
    config = {"endpoints": {"mine": {"base_url": URL, "api_key": key}}}
    assert resolve_endpoint("mine", None, {}, config, need_key=False).api_key == Secret(key)


def test_a_key_that_is_named_twice_is_used_once(key_file: Path) -> None:
    """And that is told, by its labels."""
    key_file.write_text("sk-1\nsk-2\nsk-1\n")
    endpoint = of_table({"MINE": "sk-2"}, api_key_env="MINE", api_keys_file=str(key_file))
    assert endpoint.keys == (Key(Secret("sk-2"), "MINE"), Key(Secret("sk-1"), "keys.txt line 1"))
    assert endpoint.notes == (
        "keys.txt line 2 is the same key as MINE, and is used once",
        "keys.txt line 3 is the same key as keys.txt line 1, and is used once",
    )


def test_a_variable_that_is_not_set_is_told() -> None:
    """As long as there is another key; without any it is an error."""
    endpoint = of_table({"TWO": "sk-2"}, api_keys_env=["ONE", "TWO"])
    assert keys(endpoint) == [("sk-2", "TWO")]
    assert endpoint.notes == ("ONE is not set",)
    with pytest.raises(UsageError, match="ONE is not set"):
        of_table({"TWO": " , "}, api_keys_env=["ONE", "TWO"])


def test_a_preset_with_keys_of_its_own_leaves_its_variable_alone() -> None:
    """Which is neither used nor asked for."""
    config = {"endpoints": {"openai": {"api_keys": ["sk-1"]}}}
    endpoint = resolve_endpoint("openai", None, {"OPENAI_API_KEY": "sk-0"}, config)
    assert keys(endpoint) == [("sk-1", "penstock.toml [endpoints.openai] api_keys, key 1")]
    assert endpoint.notes == ()


@pytest.mark.skipif(os.name == "nt", reason="files have no mode there")
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620])
def test_a_key_file_that_others_can_read_is_refused(key_file: Path, mode: int) -> None:
    """With the command that mends it."""
    key_file.chmod(mode)
    with pytest.raises(UsageError, match=r"\[endpoints.mine\] api_keys_file: .* can be read by others") as caught:
        of_table(api_keys_file=str(key_file))
    assert caught.value.hint == f"Mend it with: chmod 600 {key_file}"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "holds no key"),
        (b"\xef\xbb\xbf\n# none\n  \n", "holds no key"),
        ("sk-1\n".encode("utf-16"), "is not UTF-8 text"),
        (b"sk-0\nsk-1 # mine\n", "The key from keys.txt line 2 has white space"),
    ],
)
def test_a_key_file_must_hold_keys(key_file: Path, content: bytes, words: str) -> None:
    """As text, one a line."""
    key_file.write_bytes(content)
    with pytest.raises(UsageError, match=words):
        of_table(api_keys_file=str(key_file))


@pytest.mark.parametrize(("name", "words"), [("none.txt", "No such file"), (".", "Is a directory")])
def test_a_key_file_that_cannot_be_read_is_told(tmp_path: Path, name: str, words: str) -> None:
    """With the place that names it."""
    with pytest.raises(UsageError, match=rf"\[endpoints.mine\] api_keys_file: .*{words}"):
        of_table(api_keys_file=str(tmp_path / name))


def test_a_key_file_may_lie_at_home(key_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a ~ leads."""
    monkeypatch.setenv("HOME", str(key_file.parent))
    assert len(of_table(api_keys_file="~/keys.txt").keys) == 3


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"api_key": " "}, "api_key is empty"),
        ({"api_keys": ["sk-1", ","]}, "api_keys, key 2 is empty"),
    ],
)
def test_a_key_that_is_empty_is_told_with_its_place(table: dict[str, Any], words: str) -> None:
    """It was written to be filled in."""
    with pytest.raises(UsageError, match=words) as caught:
        of_table(**table)
    assert caught.value.message.startswith(WHERE)
