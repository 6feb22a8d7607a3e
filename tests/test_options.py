"""Where options come from, which place wins, and what a bad value is told. That every option can be set everywhere is
seen in tests/meta."""

from pathlib import Path
from typing import Any

import pytest

from penstock.errors import UsageError
from penstock.options import RunOptions, load_config, resolve_options, without_unit

NOWHERE: dict[str, Any] = {"given": {}, "environ": {}, "config": {}}


def resolve(**places: Any) -> RunOptions:
    """The options, set in these places and nowhere else."""
    return resolve_options(**NOWHERE | places)


@pytest.mark.parametrize(
    ("given", "environ", "table", "expected"),
    [
        (1, "2", 3, 1),
        (None, "2", 3, 2),
        (None, None, 3, 3),
        (None, None, None, "auto"),
        (1, None, 3, 1),
        (1, "2", None, 1),
    ],
)
def test_flags_win_over_the_environment_over_the_file_over_the_default(
    given: int | None, environ: str | None, table: int | None, expected: int
) -> None:
    """A value of None is not given; every place that is, is looked at in this order."""
    options = resolve(
        given={"concurrency": given},
        environ={} if environ is None else {"PENSTOCK_CONCURRENCY": environ},
        config={} if table is None else {"run": {"concurrency": table}},
    )
    assert options.concurrency == expected


def test_places_are_combined_option_by_option() -> None:
    """One from here, one from there."""
    options = resolve(
        given={"model": "m"}, environ={"PENSTOCK_TIMEOUT": "5"}, config={"run": {"limit": 3, "model": "other"}}
    )
    assert (options.model, options.timeout_s, options.limit) == ("m", 5.0, 3)


def test_parameters_are_not_mixed() -> None:
    """The strongest place says all of them: a temperature from a forgotten file would be a surprise."""
    options = resolve(given={"param": {"seed": 1}}, config={"run": {"param": {"temperature": 2}}})
    assert options.param == {"seed": 1}


def test_variables_of_others_are_left_alone() -> None:
    """Only those that are options are read."""
    assert resolve(environ={"PENSTOCK_UNHEARD_OF": "x", "MODEL": "m"}) == RunOptions()


@pytest.mark.parametrize(
    ("places", "origin"),
    [
        ({"given": {"concurrency": 0}}, "--concurrency"),
        ({"given": {"timeout_s": -1.0}}, "--timeout"),
        ({"given": {"api": "chats"}}, "--api"),
        ({"environ": {"PENSTOCK_CONCURRENCY": "many"}}, "PENSTOCK_CONCURRENCY"),
        ({"environ": {"PENSTOCK_MAX_RESPONSE": "0"}}, "PENSTOCK_MAX_RESPONSE"),
        ({"environ": {"PENSTOCK_FRESH": "perhaps"}}, "PENSTOCK_FRESH"),
        ({"config": {"run": {"max_attempts": 1.5}}}, "penstock.toml: [run] max_attempts"),
        ({"config": {"run": {"durability": "high"}}}, "penstock.toml: [run] durability"),
        ({"config": {"run": {"output": [1]}}}, "penstock.toml: [run] output"),
        ({"config": {"run": {"model": 5}}}, "penstock.toml: [run] model"),
    ],
)
def test_a_bad_value_is_told_with_its_place(places: dict[str, Any], origin: str) -> None:
    """Where it stands, what was expected, and what it is."""
    with pytest.raises(UsageError) as caught:
        resolve(**places)
    assert caught.value.message.startswith(f"{origin} must be ")
    assert "; it is " in caught.value.message


@pytest.mark.parametrize("text", ["temperature=1", "[1", "not json"])
def test_parameters_in_a_variable_are_a_json_object(text: str) -> None:
    """Said with an example."""
    with pytest.raises(UsageError, match=r"PENSTOCK_PARAM: expected a JSON object, such as \{"):
        resolve(environ={"PENSTOCK_PARAM": text})


@pytest.mark.parametrize(
    ("key", "hint"),
    [("modle", "Did you mean 'model'?"), ("timeout_s", "Did you mean 'timeout'?"), ("qqq", None)],
)
def test_an_unknown_key_in_the_file_is_refused(key: str, hint: str | None) -> None:
    """A misspelt option that is silently ignored costs money."""
    with pytest.raises(UsageError, match="has no option") as caught:
        resolve(config={"run": {key: 1}})
    assert caught.value.hint == hint


@pytest.mark.parametrize(
    ("endpoint", "base_url", "kept"),
    [
        ("given", "environ", "endpoint"),
        ("given", "config", "endpoint"),
        ("environ", "config", "endpoint"),
        ("environ", "given", "base_url"),
        ("config", "given", "base_url"),
        ("config", "environ", "base_url"),
        ("given", "given", "both"),
        ("environ", "environ", "both"),
        ("config", "config", "both"),
    ],
)
def test_an_endpoint_and_an_address_from_different_places_are_not_combined(
    endpoint: str, base_url: str, kept: str
) -> None:
    """The key of the one would be sent to the other. The stronger place wins; together they were meant together."""
    url = "http://elsewhere/v1"
    values = {
        "given": {"endpoint": {"endpoint": "deepseek"}, "base_url": {"base_url": url}},
        "environ": {"endpoint": {"PENSTOCK_ENDPOINT": "deepseek"}, "base_url": {"PENSTOCK_BASE_URL": url}},
        "config": {"endpoint": {"endpoint": "deepseek"}, "base_url": {"base_url": url}},
    }
    places: dict[str, Any] = {"given": {}, "environ": {}, "config": {}}
    places[endpoint] |= values[endpoint]["endpoint"]
    places[base_url] |= values[base_url]["base_url"]
    options = resolve(**places | {"config": {"run": places["config"]}})
    assert options.endpoint == ("deepseek" if kept != "base_url" else None)
    assert options.base_url == (url if kept != "endpoint" else None)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[run\n", "is not valid TOML"),
        (b"model = \xff\n", "is not valid TOML"),
        (b"run = 5\n", "run is not a table"),
        (b'endpoints = "openai"\n', "endpoints is not a table"),
        (b"pricing = [1]\n", "pricing is not a table"),
    ],
)
def test_a_file_that_cannot_be_understood_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    """With its name, never with a traceback."""
    path = tmp_path / "penstock.toml"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=words) as caught:
        load_config(path)
    assert str(path) in caught.value.message


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """A folder of that name, say."""
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        load_config(tmp_path)


def test_there_need_be_no_file(tmp_path: Path) -> None:
    """Then nothing is set in it."""
    assert load_config(tmp_path / "penstock.toml") == {}


@pytest.mark.parametrize(
    ("field", "name"), [("timeout_s", "timeout"), ("max_response_mb", "max_response"), ("params", "params"), ("s", "s")]
)
def test_a_person_leaves_the_unit_out(field: str, name: str) -> None:
    """Only where the field ends in one."""
    assert without_unit(field) == name


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ('[prices."sim"]\ninput = 1', "there is no table [prices]", "'pricing'"),
        ("[defaults]\nrpm = 5", "there is no table [defaults]", "run, endpoints, models, pricing"),
        ("concurency = 5", "concurency stands in no table", "'concurrency'"),
    ],
)
def test_what_nobody_would_read_is_refused(tmp_path: Path, text: str, message: str, hint: str) -> None:
    """With the file, the name and what was probably meant."""
    path = tmp_path / "penstock.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        load_config(path)
    assert caught.value.message == f"{path}: {message}."
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rpm": -4.0}, "--rpm must be a number above 0; it is -4."),
        ({"processes": 65}, "--processes must be auto or a whole number from 1 to 64; it is 65."),
        ({"ambiguous": "twice"}, "--ambiguous must be never or once or always; it is 'twice'."),
    ],
)
def test_a_bad_value_is_told_in_plain_words(given: dict[str, Any], message: str) -> None:
    """Never in those of the library that checks."""
    with pytest.raises(UsageError) as caught:
        resolve_options(given, {}, {})
    assert caught.value.message == message
