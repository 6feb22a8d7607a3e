"""Every option of a run is declared once, and can be set in every place where options are set."""

import tomllib
from collections import Counter
from typing import Any

import msgspec
import pytest

from penstock.cli.main import main
from penstock.options import GROUPS, SHAPES_REQUEST, Option, RunOptions, options, resolve_options

SAMPLES: dict[str, tuple[str, str, Any]] = {
    "model": ("m", '"m"', "m"),
    "prompt": ("Say {{ text }}", '"Say {{ text }}"', "Say {{ text }}"),
    "prompt_file": ("prompt.txt", '"prompt.txt"', "prompt.txt"),
    "system": ("Be brief", '"Be brief"', "Be brief"),
    "param": ('{"temperature": 0.2}', "{temperature = 0.2}", {"temperature": 0.2}),
    "api": ("embeddings", '"embeddings"', "embeddings"),
    "stream": ("true", "true", True),
    "key": ("sku", '"sku"', "sku"),
    "endpoint": ("deepseek", '"deepseek"', "deepseek"),
    "base_url": ("http://localhost/v1", '"http://localhost/v1"', "http://localhost/v1"),
    "ca_file": ("ca.pem", '"ca.pem"', "ca.pem"),
    "concurrency": ("7", "7", 7),
    "max_concurrency": ("70", "70", 70),
    "processes": ("3", "3", 3),
    "rpm": ("600", "600", 600.0),
    "tpm": ("90000", "90000", 90000.0),
    "budget": ("2.5", "2.5", 2.5),
    "hedge": ("true", "true", True),
    "timeout_s": ("2.5", "2.5", 2.5),
    "connect_timeout_s": ("3", "3", 3.0),
    "idle_timeout_s": ("4.5", "4.5", 4.5),
    "max_response_mb": ("5", "5", 5),
    "max_attempts": ("6", "6", 6),
    "ambiguous": ("never", '"never"', "never"),
    "patience_s": ("8.5", "8.5", 8.5),
    "name": ("spring", '"spring"', "spring"),
    "home": ("runs", '"runs"', "runs"),
    "fresh": ("true", "true", True),
    "limit": ("9", "9", 9),
    "durability": ("full", '"full"', "full"),
    "output": ("out.csv", '["out.csv"]', ("out.csv",)),
    "format": ("openai-batch", '"openai-batch"', "openai-batch"),
    "order": ("completion", '"completion"', "completion"),
}
"""Of each field a value other than its default: as text, as TOML, and as what both mean."""

EACH = pytest.mark.parametrize("option", options(), ids=lambda option: str(option.field))


def resolved(option: Option, **places: Any) -> Any:
    """The option's value when it is set in these places and nowhere else."""
    everywhere: dict[str, Any] = {"given": {}, "environ": {}, "config": {}} | places
    return getattr(resolve_options(**everywhere), option.field)


def test_every_field_stands_in_one_group() -> None:
    """None is left out and none stands twice, or help and reference would differ from the code."""
    grouped = Counter(name for names in GROUPS.values() for name in names)
    assert grouped == Counter(RunOptions.__struct_fields__)


def test_every_field_has_a_sample_here() -> None:
    """The table of this test is complete, and each value differs from the default."""
    assert set(SAMPLES) == set(RunOptions.__struct_fields__)
    assert [option.field for option in options() if SAMPLES[option.field][2] == option.default] == []


def test_names_are_unique_in_every_place() -> None:
    """Leaving out units makes no two options share a flag, a variable or a key."""
    for names in zip(*((option.key, option.flag, option.variable) for option in options()), strict=True):
        assert len(set(names)) == len(names)


def test_what_shapes_a_request_are_options() -> None:
    """A run compares fields that exist."""
    assert set(SHAPES_REQUEST) <= set(RunOptions.__struct_fields__)


@EACH
def test_help_is_a_sentence(option: Option) -> None:
    """Something is said, and it ends."""
    assert option.help.endswith(".")
    assert option.help[0].isupper() or option.help.startswith("normal")


@EACH
def test_every_place_sets_it(option: Option) -> None:
    """A flag, the environment and `penstock.toml` mean the same value."""
    text, toml, value = SAMPLES[option.field]
    config = tomllib.loads(f"[run]\n{option.key} = {toml}")

    assert resolved(option, given={option.field: value}) == value
    assert resolved(option, environ={option.variable: text}) == value
    assert resolved(option, config=config) == value
    assert resolved(option) == option.default


@EACH
def test_a_flag_wins_over_the_environment_and_that_over_the_file(option: Option) -> None:
    """In this order, whatever the others say."""
    text, toml, value = SAMPLES[option.field]
    config = tomllib.loads(f"[run]\n{option.key} = {toml}")
    usual = msgspec.to_builtins(option.default)

    if option.default is not None:
        as_text = msgspec.json.encode(usual).decode() if option.field in ("param", "fresh") else str(usual)
        assert resolved(option, given={option.field: usual}, environ={option.variable: text}) == option.default
        if option.field != "output":
            assert resolved(option, environ={option.variable: as_text}, config=config) == option.default
    assert resolved(option, environ={option.variable: text}, config={"run": {option.key: usual}}) == value


def test_every_option_has_its_flag_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    """`penstock run --help` lists them all."""
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    printed = capsys.readouterr().out.replace("\n", " ").split()

    assert [option.flag for option in options() if option.flag not in printed] == []
