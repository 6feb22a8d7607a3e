"""Which endpoints serve a model, in which order, and what stands wrong in their tables."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from penstock.endpoints import Key
from penstock.errors import UsageError
from penstock.pools import Pools, resolve_pools
from penstock.redaction import Secret

URL = "http://127.0.0.1:1/v1"
OPENAI = {"OPENAI_API_KEY": "sk-simulated"}

Tables = dict[str, dict[str, Any]]


def configured(endpoints: Tables | None = None, models: dict[str, Any] | None = None) -> dict[str, Any]:
    """A `penstock.toml` whose endpoints all have the same address unless they say otherwise."""
    tables = {name: {"base_url": URL} | table for name, table in (endpoints or {}).items()}
    return {"endpoints": tables, "models": models or {}}


def pools(
    endpoints: Tables | None = None,
    models: dict[str, Any] | None = None,
    name: str | None = None,
    environ: dict[str, str] | None = None,
) -> Pools:
    """The pools of these tables and this option."""
    return resolve_pools(name, None, OPENAI | (environ or {}), configured(endpoints, models))


def asked(found: Pools, model: str) -> list[tuple[str, str, int]]:
    """Endpoint, the model's name there, and tier."""
    return [(route.endpoint.name, route.model, route.tier) for route in found.routes(model)]


def names(found: Pools) -> list[str]:
    """Of the endpoints."""
    return [endpoint.name for endpoint in found.endpoints]


# Which endpoints


def test_without_tables_the_usual_endpoint_serves_every_model() -> None:
    """As before there were pools."""
    assert asked(pools(), "gpt-4o") == [("openai", "gpt-4o", 1)]
    at_home = resolve_pools(None, None, {"OPENAI_BASE_URL": URL}, {})
    assert asked(at_home, "gpt-4o") == [("127.0.0.1:1", "gpt-4o", 1)]


def test_a_model_has_the_endpoints_of_its_table() -> None:
    """By their priority, each with the name that the model has there; other models stay where they were."""
    found = pools(
        {"a": {"priority": 2}, "b": {"models": {"gpt-4o": "openai/gpt-4o"}}},
        {"gpt-4o": {"endpoints": ["a", "b"]}},
    )
    assert asked(found, "gpt-4o") == [("b", "openai/gpt-4o", 1), ("a", "gpt-4o", 2)]
    assert asked(found, "other") == [("openai", "other", 1)]
    assert names(found) == ["a", "b", "openai"]


def test_a_star_stands_for_every_model_without_endpoints_of_its_own() -> None:
    """And then the usual endpoint's key is not asked for."""
    models = {"*": {"endpoints": ["a"]}, "big": {"endpoints": ["b"]}, "odd": {"fallback": ["big"]}}
    found = resolve_pools(None, None, {}, configured({"a": {}, "b": {}}, models))
    assert asked(found, "anything") == [("a", "anything", 1)]
    assert asked(found, "big") == [("b", "big", 1)]
    assert asked(found, "odd") == [("a", "odd", 1), ("b", "big", 2)]
    assert names(found) == ["a", "b"]


def test_the_usual_endpoint_needs_no_key_where_others_are_named() -> None:
    """It may never be asked; where it is, its own refusal is told."""
    found = resolve_pools(None, None, {}, configured({"a": {}}, {"m": {"endpoints": ["a"]}}))
    assert names(found) == ["a"]
    assert asked(found, "other") == [("openai", "other", 1)]


def test_an_endpoint_that_is_named_serves_every_model() -> None:
    """What was said now wins over the tables; several are a pool."""
    tables: Tables = {"a": {"models": {"gpt-4o": "four"}}, "b": {}}
    models = {"gpt-4o": {"endpoints": ["b"]}}
    assert asked(pools(tables, models, name="a"), "gpt-4o") == [("a", "four", 1)]
    assert asked(pools(tables, models, name="a, b"), "x") == [("a", "x", 1), ("b", "x", 1)]
    by_url = resolve_pools(None, "http://127.0.0.1:2/v1", {}, configured(tables, models))
    assert asked(by_url, "gpt-4o") == [("127.0.0.1:2", "gpt-4o", 1)]


def test_the_key_of_an_endpoint_that_is_named_must_be_there() -> None:
    """The first that lacks one is told, or all of them where one only wants to look."""
    models = {"m": {"endpoints": ["deepseek", "poloapi"]}}
    with pytest.raises(UsageError, match="no API key for the endpoint 'poloapi'"):
        resolve_pools(None, None, {"DEEPSEEK_API_KEY": "sk-1"}, configured({}, models))
    with pytest.raises(UsageError, match="no API key for the endpoint 'deepseek'"):
        resolve_pools("deepseek,poloapi", None, {}, {})
    found = resolve_pools(None, None, {}, configured({}, models), need_key=False)
    assert [endpoint.key_missing for endpoint in found.endpoints] == [True, True]


# Other models


def test_another_model_answers_only_where_it_is_listed() -> None:
    """After every endpoint of the model that was asked for, at the endpoints of its own table."""
    found = pools(
        {"a": {}, "b": {"priority": 3}, "c": {}},
        {"big": {"endpoints": ["a", "b"], "fallback": ["small"]}, "small": {"endpoints": ["c"]}},
    )
    assert asked(found, "big") == [("a", "big", 1), ("b", "big", 3), ("c", "small", 4)]
    assert asked(found, "small") == [("c", "small", 1)]
    assert [route.asked for route in found.routes("big")] == ["big", "big", "small"]


def test_a_fallback_has_its_own_behind_it() -> None:
    """Before the next one of the list, and each model once."""
    found = pools(
        {"a": {}},
        {"one": {"fallback": ["two", "three"]}, "two": {"fallback": ["four"]}, "three": {"fallback": ["four"]}},
        name="a",
    )
    assert asked(found, "one") == [("a", "one", 1), ("a", "two", 2), ("a", "four", 3), ("a", "three", 4)]


def test_a_fallback_without_endpoints_is_asked_where_the_model_it_stands_in_for_is() -> None:
    """Its prompts go nowhere that nobody named; a star names endpoints for it, and an own table comes first."""
    tables: Tables = {"a": {}, "b": {"priority": 2}, "c": {}}
    big = {"endpoints": ["a", "b"], "fallback": ["small"]}
    near = [("a", "big", 1), ("b", "big", 2), ("a", "small", 3), ("b", "small", 4)]
    assert asked(pools(tables, {"big": big}), "big") == near
    assert asked(pools(tables, {"big": big, "small": {"fallback": ["tiny"]}}), "big")[2:4] == near[2:]
    assert asked(pools(tables, {"big": big, "*": {"endpoints": ["c"]}}), "big")[2:] == [("c", "small", 3)]
    assert asked(pools(tables, {"big": big}, name="c"), "big") == [("c", "big", 1), ("c", "small", 2)]
    assert asked(pools(tables, {"big": big}), "small") == [("openai", "small", 1)]


def test_a_star_may_have_a_fallback() -> None:
    """Of every model that has none of its own, and of that itself none."""
    found = pools({}, {"*": {"fallback": ["spare"]}, "m": {"fallback": ["n"]}})
    assert [route.model for route in found.routes("anything")] == ["anything", "spare"]
    assert [route.model for route in found.routes("m")] == ["m", "n"]
    assert [route.model for route in found.routes("spare")] == ["spare"]


def test_a_fallback_that_has_the_same_name_there_is_no_other_way() -> None:
    """Nothing is sent twice to one place."""
    found = pools({"a": {"models": {"m": "x", "n": "x"}}}, {"m": {"fallback": ["n"]}}, name="a")
    assert asked(found, "m") == [("a", "x", 1)]


# What is wrong


@pytest.mark.parametrize(
    ("models", "words"),
    [
        ({"m": {"endpoints": ["a", "nowhere"]}}, r'\[models."m"\] endpoints: There is no endpoint \'nowhere\''),
        ({"m": {"endpoints": []}}, r'\[models."m"\]: .*length >= 1 - at `\$.endpoints`'),
        ({"m": {"fallback": []}}, r'\[models."m"\]: .*length >= 1 - at `\$.fallback`'),
        ({"m": {"fallback": [""]}}, r'\[models."m"\]: .*length >= 1 - at `\$.fallback\[0\]`'),
        ({"m": {"endpoints": "a"}}, r'\[models."m"\]: Expected `array | null`, got `str`'),
        ({"m": {"endpoint": ["a"]}}, r'\[models."m"\]: .*unknown field `endpoint`'),
        ({"gpt-4": {"1": {"endpoints": ["a"]}}}, r'put in quotes: \[models."gpt-4.1"\]'),
        ({"m": {}}, r'\[models."m"\] is empty'),
        ({"m": 5}, r'\[models."m"\]: Expected `object`, got `int`'),
        ({"m": {"endpoints": ["a", "a"]}}, r'\[models."m"\] endpoints: \'a\' is named twice'),
        ({"m": {"fallback": ["*"]}}, r'\[models."m"\] fallback: \'\*\' is no model'),
        ({"m": {"fallback": ["m"]}}, r'\[models."m"\] fallback: it leads in a circle: m → m'),
        (
            {"m": {"fallback": ["n"]}, "n": {"fallback": ["x", "o"]}, "o": {"fallback": ["n"]}},
            r'\[models."m"\] fallback: it leads in a circle: n → o → n',
        ),
    ],
)
def test_a_bad_table_is_told_with_its_place(models: dict[str, Any], words: str) -> None:
    """File, table and what is wrong."""
    with pytest.raises(UsageError, match=words) as caught:
        pools({"a": {}}, models)
    assert caught.value.message.startswith("penstock.toml: [models.")


@pytest.mark.parametrize(
    ("name", "base_url", "words"),
    [
        ("a,nowhere", None, "There is no endpoint 'nowhere'"),
        ("a,b,a", None, "--endpoint: 'a' is named twice"),
        (",", None, "names no endpoint"),
        ("a,b", URL, "--base-url is one address, and --endpoint names 2 endpoints"),
    ],
)
def test_bad_options_are_refused(name: str, base_url: str | None, words: str) -> None:
    """In words."""
    with pytest.raises(UsageError, match=words):
        resolve_pools(name, base_url, {}, configured({"a": {}, "b": {}}))


# Later


def test_an_endpoint_can_be_replaced_everywhere() -> None:
    """The embedded model gets its address when it has started."""
    found = pools({"a": {}, "b": {}}, {"m": {"endpoints": ["a", "b"]}})
    moved = msgspec.structs.replace(found.endpoints[0], base_url="http://127.0.0.1:2/v1")
    urls = [route.endpoint.base_url for route in found.with_endpoint(moved).routes("m")]
    assert urls == [moved.base_url, URL]
    assert [route.endpoint.base_url for route in found.routes("m")] == [URL, URL]


def test_keys_are_read_again_and_nothing_else_is(tmp_path: Path) -> None:
    """From the file, the variables and the tables, at the addresses where the endpoints stand."""
    file = tmp_path / "keys.txt"
    file.write_text("sk-1\n")
    file.chmod(0o600)
    config = configured(
        {"a": {"api_keys_file": str(file)}, "b": {"api_key_env": "B"}}, {"m": {"endpoints": ["a", "b"]}}
    )
    found = resolve_pools(None, None, {"B": "sk-b"}, config)
    file.write_text("sk-1\nsk-2\n")
    config["endpoints"]["a"]["base_url"] = "http://elsewhere.example/v1"
    now = found.reload_keys({"B": "sk-c"}, config)
    assert now.routes("m")[0].endpoint.keys == (
        Key(Secret("sk-1"), "keys.txt line 1"),
        Key(Secret("sk-2"), "keys.txt line 2"),
    )
    assert now.routes("m")[1].endpoint.keys == (Key(Secret("sk-c"), "B"),)
    assert now.routes("m")[0].endpoint.base_url == URL
    assert names(now) == names(found)


def test_keys_that_are_gone_are_told_when_they_are_read_again() -> None:
    """The run goes on with those that it has."""
    found = resolve_pools("deepseek", None, {"DEEPSEEK_API_KEY": "sk-1"}, {})
    with pytest.raises(UsageError, match="DEEPSEEK_API_KEY is not set"):
        found.reload_keys({}, {})
    spare = resolve_pools(None, None, {}, configured({"a": {}}, {"m": {"endpoints": ["a"]}}))
    assert names(spare.reload_keys({}, configured({"a": {}}))) == ["a"]
