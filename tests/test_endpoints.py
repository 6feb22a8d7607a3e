"""Endpoints by name, by address, and by the variables that everybody knows; and whose key goes where."""

from typing import Any

import pytest

from penstock.endpoints import LOCAL, PRESETS, Endpoint, resolve_endpoint
from penstock.errors import UsageError
from penstock.redaction import Secret

KEYS = {preset.api_key_env: f"sk-of-{name}-1234" for name, preset in PRESETS.items() if preset.api_key_env is not None}


def resolve(
    name: str | None = None,
    base_url: str | None = None,
    environ: dict[str, str] | None = None,
    endpoints: dict[str, Any] | None = None,
) -> Endpoint:
    """The endpoint of these options."""
    return resolve_endpoint(name, base_url, environ or {}, {"endpoints": endpoints or {}})


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_goes_to_its_own_address_with_its_own_key(name: str) -> None:
    """Though the keys of all the others are there too."""
    endpoint = resolve(name, environ=KEYS)
    preset = PRESETS[name]
    assert (endpoint.name, endpoint.base_url) == (name, preset.base_url)
    assert endpoint.api_key == (Secret(KEYS[preset.api_key_env]) if preset.api_key_env else None)


@pytest.mark.parametrize("name", [name for name, preset in PRESETS.items() if preset.api_key_env])
def test_the_key_of_another_provider_is_never_used(name: str) -> None:
    """A missing key is an error that names the variable, whatever other keys there are."""
    variable = PRESETS[name].api_key_env
    others = {other: key for other, key in KEYS.items() if other != variable}
    with pytest.raises(UsageError, match=f"There is no API key for the endpoint '{name}'") as caught:
        resolve(name, environ=others)
    assert f"export {variable}=" in str(caught.value.hint)


def test_an_empty_key_is_no_key() -> None:
    """As a variable that was set to nothing."""
    with pytest.raises(UsageError, match="There is no API key"):
        resolve("deepseek", environ={"DEEPSEEK_API_KEY": ""})


def test_a_missing_key_can_be_told_rather_than_raised() -> None:
    """For those who only want to look."""
    endpoint = resolve_endpoint("deepseek", None, {}, {}, need_key=False)
    assert (endpoint.api_key, endpoint.key_missing, endpoint.key_from) == (None, True, "DEEPSEEK_API_KEY")


def test_without_anything_it_is_openai() -> None:
    """As everywhere."""
    endpoint = resolve(environ=KEYS)
    assert (endpoint.name, endpoint.base_url) == ("openai", "https://api.openai.com/v1")
    assert (endpoint.api_key, endpoint.key_from) == (Secret(KEYS["OPENAI_API_KEY"]), "OPENAI_API_KEY")


def test_openai_base_url_works_as_everywhere() -> None:
    """With OPENAI_API_KEY, and with none: a server at home wants none."""
    url = {"OPENAI_BASE_URL": "http://127.0.0.1:9000/v1/"}
    endpoint = resolve(environ=KEYS | url)
    assert (endpoint.name, endpoint.base_url) == ("127.0.0.1:9000", "http://127.0.0.1:9000/v1")
    assert endpoint.api_key == Secret(KEYS["OPENAI_API_KEY"])
    assert resolve(environ=url).api_key is None


def test_an_address_wins_over_openai_base_url() -> None:
    """What was said now over what stands in the environment."""
    endpoint = resolve(base_url="https://other.example/v1", environ={"OPENAI_BASE_URL": "http://127.0.0.1/v1"})
    assert (endpoint.name, endpoint.base_url) == ("other.example", "https://other.example/v1")


@pytest.mark.parametrize("name", ["deepseek", "openai", "sim"])
def test_a_name_wins_over_openai_base_url(name: str) -> None:
    """Its key is not sent there."""
    endpoint = resolve(name, environ=KEYS | {"OPENAI_BASE_URL": "http://elsewhere.example/v1"})
    assert endpoint.base_url == PRESETS[name].base_url


def test_a_name_with_an_address_keeps_its_key() -> None:
    """Given together they are meant together: a proxy of one's own, say."""
    endpoint = resolve("deepseek", "https://proxy.example/v1", KEYS)
    assert (endpoint.name, endpoint.base_url) == ("deepseek", "https://proxy.example/v1")
    assert endpoint.api_key == Secret(KEYS["DEEPSEEK_API_KEY"])


def test_one_of_ones_own_is_configured() -> None:
    """With a variable for its key, the key itself, or neither."""
    url = "https://mine.example/v1"
    by_variable = resolve("mine", environ={"MINE": "k1"}, endpoints={"mine": {"base_url": url, "api_key_env": "MINE"}})
    assert (by_variable.base_url, by_variable.api_key, by_variable.key_from) == (url, Secret("k1"), "MINE")
    by_key = resolve("mine", endpoints={"mine": {"base_url": url, "api_key": "k2"}})
    assert by_key.api_key == Secret("k2")
    assert "penstock.toml" in by_key.key_from
    assert resolve("mine", environ=KEYS, endpoints={"mine": {"base_url": url}}).api_key is None


def test_a_preset_can_be_changed_in_part() -> None:
    """What is not said stays."""
    moved = resolve("ollama", endpoints={"ollama": {"base_url": "http://10.0.0.5:11434/v1"}})
    assert moved.base_url == "http://10.0.0.5:11434/v1"
    other_key = resolve("openai", environ={"WORK_KEY": "k"}, endpoints={"openai": {"api_key_env": "WORK_KEY"}})
    assert (other_key.base_url, other_key.api_key) == ("https://api.openai.com/v1", Secret("k"))


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"base_url": 5}, "base_url"),
        ({"base_url": "http://a/v1", "key": "k"}, "unknown field `key`"),
        ({}, "missing required field `base_url`"),
        ("http://a/v1", "Expected `object`, got `str`"),
    ],
)
def test_a_bad_table_is_told_with_its_place(table: Any, words: str) -> None:
    """Never with a traceback."""
    with pytest.raises(UsageError, match=words) as caught:
        resolve("mine", endpoints={"mine": table})
    assert caught.value.message.startswith("penstock.toml: [endpoints.mine]: ")


def test_a_preset_that_is_no_table_is_told_with_its_place() -> None:
    """As one of one's own is."""
    with pytest.raises(UsageError, match=r"\[endpoints.openai\]: Expected `object`"):
        resolve("openai", endpoints={"openai": "http://a/v1"})


def test_an_unknown_name_is_refused_with_the_list() -> None:
    """The presets, and those that are configured."""
    with pytest.raises(UsageError, match="There is no endpoint 'opnai'") as caught:
        resolve("opnai", endpoints={"mine": {"base_url": "http://a/v1"}})
    assert all(name in str(caught.value.hint) for name in (*PRESETS, "mine"))


BAD_URLS = [
    "api.openai.com/v1",
    "ftp://api.openai.com/v1",
    "https://",
    "https:///v1",
    "http://[::1/v1",
    "http://localhost:port/v1",
    "http://localhost:99999/v1",
    "http://localhost:0/v1",
    "sk-oops-this-is-the-key",
    "/v1",
    "",
]


@pytest.mark.parametrize("url", BAD_URLS)
def test_a_bad_address_is_refused(url: str) -> None:
    """In words, with an example, whichever way it was given."""
    if url:
        with pytest.raises(UsageError, match="is not a URL"):
            resolve(base_url=url)
        with pytest.raises(UsageError, match="is not a URL"):
            resolve(environ={"OPENAI_BASE_URL": url})
    with pytest.raises(UsageError, match="is not a URL"):
        resolve("mine", endpoints={"mine": {"base_url": url}})


@pytest.mark.parametrize(
    "url",
    [
        "https://user:hunter22@api.example/v1",
        "https://hunter22@api.example/v1",
        "ftp://user:hunter22@api.example/v1",
        "user:hunter22@api.example/v1",
        "http://user:hunter22@[::1/v1",
    ],
)
def test_a_password_in_an_address_is_refused_and_not_repeated(url: str) -> None:
    """It would stand in the journal, in messages and in the process list."""
    with pytest.raises(UsageError, match="holds a user name or password") as caught:
        resolve(base_url=url)
    assert "hunter22" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "used"),
    [
        (" https://a.example/v1 ", "https://a.example/v1"),
        ("https://a.example/v1//", "https://a.example/v1"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
        ("https://a.example", "https://a.example"),
        ("https://a.example/models@latest/v1", "https://a.example/models@latest/v1"),
    ],
)
def test_an_address_is_tidied(given: str, used: str) -> None:
    """White space and slashes at its ends do not matter."""
    assert resolve(base_url=given).base_url == used


def test_the_embedded_model_needs_no_address() -> None:
    """It gets one when it is started."""
    assert resolve(LOCAL) == Endpoint(LOCAL, "")


def test_no_key_shows() -> None:
    """Whoever prints an endpoint prints no key."""
    assert "sk-of" not in repr(resolve(environ=KEYS))


# Limits and rank


def of_table(**table: Any) -> Endpoint:
    """The endpoint of this table."""
    return resolve("mine", endpoints={"mine": {"base_url": "https://mine.example/v1"} | table})


def test_an_endpoint_has_limits_and_a_rank() -> None:
    """As its table says."""
    endpoint = of_table(
        priority=2, weight=3, rpm=60, tpm=1e6, max_concurrency=8, models={"gpt-4o": "four"}, price_multiplier=0.5
    )
    assert (endpoint.priority, endpoint.weight) == (2, 3.0)
    assert (endpoint.rpm, endpoint.tpm, endpoint.max_concurrency) == (60.0, 1e6, 8)
    assert (endpoint.models, endpoint.price_multiplier) == ({"gpt-4o": "four"}, 0.5)


def test_it_has_none_unless_it_says_so() -> None:
    """And stands with all others in the first rank."""
    endpoint = of_table()
    assert (endpoint.priority, endpoint.weight, endpoint.price_multiplier) == (1, 1.0, 1.0)
    assert (endpoint.rpm, endpoint.tpm, endpoint.max_concurrency, endpoint.models) == (None, None, None, {})


@pytest.mark.parametrize("value", [0, -1, "many", True, [], float("nan"), float("inf")])
@pytest.mark.parametrize("entry", ["priority", "weight", "rpm", "tpm", "max_concurrency"])
def test_a_bad_number_is_told_with_its_place(entry: str, value: Any) -> None:
    """File, table and entry, and what else it may hold."""
    with pytest.raises(UsageError, match=rf"^penstock.toml: \[endpoints.mine\]: .*`\$.{entry}`") as caught:
        of_table(**{entry: value})
    assert "It may hold: base_url, api_key_env" in str(caught.value.hint)


@pytest.mark.parametrize(
    "table",
    [
        {"price_multiplier": -0.1},
        {"price_multiplier": float("nan")},
        {"models": {"gpt-4o": ""}},
        {"models": ["gpt-4o"]},
        {"api_keys": []},
        {"api_keys": "sk-1"},
        {"api_keys_env": []},
        {"api_key_env": ""},
        {"api_keys_file": ""},
    ],
)
def test_other_bad_values_are_told_with_their_place(table: dict[str, Any]) -> None:
    """As those are."""
    with pytest.raises(UsageError, match=rf"^penstock.toml: \[endpoints.mine\]: .*`\$.{next(iter(table))}"):
        of_table(**table)
