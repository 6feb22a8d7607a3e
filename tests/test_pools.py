"""Which endpoints serve a model, in which order, and what stands wrong in their tables."""

import os
from pathlib import Path
from typing import Any

import pytest

from penstock.endpoints import Key
from penstock.errors import UsageError
from penstock.pools import Pools, resolve_pools
from penstock.redaction import Secret

URL = "http://127.0.0.1:1/v1"


def pools(
    endpoints: dict[str, Any] | None = None,
    models: dict[str, Any] | None = None,
    name: str | None = None,
    environ: dict[str, str] | None = None,
) -> Pools:
    """The pools of these tables; every endpoint has the same address unless it says otherwise."""
    tables = {each: {"base_url": URL} | table for each, table in (endpoints or {}).items()}
    config = {"endpoints": tables, "models": models or {}}
    return resolve_pools(name, None, {"OPENAI_API_KEY": "sk-simulated"} | (environ or {}), config)


def asked(found: Pools, model: str) -> list[tuple[str, str, int]]:
    """Endpoint, the model's name there, and tier."""
    return [(route.endpoint.name, route.model, route.tier) for route in found.routes(model)]


def keys_of(found: Pools, name: str) -> tuple[Key, ...]:
    """The keys of an endpoint."""
    return next(endpoint.keys for endpoint in found.endpoints if endpoint.name == name)


def test_without_tables_the_usual_endpoint_serves_every_model() -> None:
    """As before there were pools."""
    assert asked(pools(), "gpt-4o") == [("openai", "gpt-4o", 1)]


def test_a_model_has_the_endpoints_of_its_table() -> None:
    """By their priority, each with the name that the model has there; other models stay where they were."""
    found = pools(
        {"a": {"models": {"gpt-4o": "openai/gpt-4o"}}, "b": {"priority": 2}},
        {"gpt-4o": {"endpoints": ["a", "b"]}},
    )
    assert asked(found, "gpt-4o") == [("a", "openai/gpt-4o", 1), ("b", "gpt-4o", 2)]
    assert asked(found, "other") == [("openai", "other", 1)]


def test_a_star_stands_for_every_model_without_a_table() -> None:
    """And then the usual endpoint's key is not asked for."""
    config = {"endpoints": {"a": {"base_url": URL}}, "models": {"*": {"endpoints": ["a"]}}}
    found = resolve_pools(None, None, {}, config)
    assert asked(found, "anything") == [("a", "anything", 1)]
    assert [endpoint.name for endpoint in found.endpoints] == ["a"]


def test_an_endpoint_that_is_named_serves_every_model() -> None:
    """What was said now wins over the tables; several are a pool."""
    tables = {"a": {}, "b": {}}, {"gpt-4o": {"endpoints": ["a"]}}
    assert asked(pools(*tables, name="b"), "gpt-4o") == [("b", "gpt-4o", 1)]
    assert asked(pools(*tables, name="a, b"), "x") == [("a", "x", 1), ("b", "x", 1)]


def test_another_model_answers_only_where_it_is_listed() -> None:
    """After every endpoint of the model that was asked for, at the endpoints of its own table."""
    found = pools(
        {"a": {}, "b": {"priority": 2}, "c": {}},
        {"big": {"endpoints": ["a", "b"], "fallback": ["small"]}, "small": {"endpoints": ["c"]}},
    )
    assert asked(found, "big") == [("a", "big", 1), ("b", "big", 2), ("c", "small", 3)]
    assert asked(found, "small") == [("c", "small", 1)]


@pytest.mark.parametrize(
    ("endpoints", "models", "words"),
    [
        ({}, {"m": {"endpoints": ["nowhere"]}}, r"\[models.m\]: There is no endpoint 'nowhere'"),
        ({}, {"m": {"endpoints": []}}, r"\[models.m\]: .*length >= 1"),
        ({}, {"m": {"endpoint": ["a"]}}, r"\[models.m\]: .*unknown field `endpoint`"),
        ({}, {"gpt-4.1": {"fallback": ["gpt-4.1"]}}, r'\[models."gpt-4.1"\] lists itself'),
        ({"a": {"priority": 0}}, {"m": {"endpoints": ["a"]}}, r"\[endpoints.a\]: .*priority"),
        ({"a": {"weight": 0}}, {"m": {"endpoints": ["a"]}}, r"\[endpoints.a\]: .*weight"),
        ({"a": {"rpm": -1}}, {"m": {"endpoints": ["a"]}}, r"\[endpoints.a\]: .*rpm"),
        (
            {"a": {"api_keys": ["sk-1", "s k"]}},
            {"m": {"endpoints": ["a"]}},
            r"api_keys, key 2 is empty, or holds white",
        ),
    ],
)
def test_a_bad_value_is_told_with_its_place(endpoints: dict[str, Any], models: dict[str, Any], words: str) -> None:
    """File, table and what is wrong."""
    with pytest.raises(UsageError, match=words):
        pools(endpoints, models)


def test_keys_come_from_everywhere_that_is_named(tmp_path: Path) -> None:
    """Each once, with a label that says where it stands and not what it is."""
    file = tmp_path / "keys.txt"
    file.write_text("\ufeff# ours\nsk-1 \n\n  sk-2\r\nsk-1\n", encoding="utf-8")
    file.chmod(0o600)
    table = {"api_keys": ["sk-0"], "api_keys_file": str(file), "api_key_env": "MORE_KEYS"}
    found = keys_of(pools({"a": table}, name="a", environ={"MORE_KEYS": "sk-3, sk-4"}), "a")
    assert found == (
        Key(Secret("sk-0"), "penstock.toml [endpoints.a] api_keys, key 1"),
        Key(Secret("sk-1"), "keys.txt line 2"),
        Key(Secret("sk-2"), "keys.txt line 4"),
        Key(Secret("sk-3"), "MORE_KEYS, key 1"),
        Key(Secret("sk-4"), "MORE_KEYS, key 2"),
    )
    assert "sk-" not in repr(found)


def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """With the command that mends it."""
    file = tmp_path / "keys.txt"
    file.write_text("sk-1\n")
    file.chmod(0o640)
    with pytest.raises(UsageError, match="can be read by others") as caught:
        pools({"a": {"api_keys_file": str(file)}}, name="a")
    assert caught.value.hint == f"Run: chmod 600 {file}"


@pytest.mark.parametrize(
    ("text", "words"), [("# none\n", "holds no key"), ("sk 1\n", "line 1 is empty, or holds white")]
)
def test_a_key_file_must_hold_keys(tmp_path: Path, text: str, words: str) -> None:
    """One word a line."""
    file = tmp_path / "keys.txt"
    file.write_text(text)
    os.chmod(file, 0o600)
    with pytest.raises(UsageError, match=words):
        pools({"a": {"api_keys_file": str(file)}}, name="a")


def test_a_missing_key_file_is_told(tmp_path: Path) -> None:
    """By its path."""
    with pytest.raises(UsageError, match=r"none\.txt cannot be read: No such file"):
        pools({"a": {"api_keys_file": str(tmp_path / "none.txt")}}, name="a")


def test_an_endpoint_can_be_replaced_everywhere() -> None:
    """The embedded model gets its address when it has started."""
    found = pools({"a": {}, "b": {}}, {"m": {"endpoints": ["a", "b"]}})
    endpoint = found.routes("m")[0].endpoint
    other = type(endpoint)("a", "http://127.0.0.1:2/v1")
    assert [route.endpoint.base_url for route in found.with_endpoint(other).routes("m")] == [other.base_url, URL]
