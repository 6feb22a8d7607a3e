"""What a person may tell a run while it works. A value that can be set is an option, and is checked as one."""

import math

import msgspec

from penstock.errors import UsageError
from penstock.options import Option, options
from penstock.values import refused_value

SETTABLE = ("concurrency", "max_concurrency", "rpm", "tpm", "budget")
"""Options whose value may change while a run works, by the names of their fields."""
NONE = "none"
"""How a person writes that there is to be no limit."""

Value = int | float | str | None


class Pause(msgspec.Struct, frozen=True, tag="pause"):
    """Send nothing new. What is in flight may land, and the process waits."""


class Resume(msgspec.Struct, frozen=True, tag="resume"):
    """Send again."""


class SetValue(msgspec.Struct, frozen=True, tag="set"):
    """Keep another limit: `name` is one of `SETTABLE`, `value` what that option takes."""

    name: str
    value: Value


class ReloadKeys(msgspec.Struct, frozen=True, tag="reload_keys"):
    """Read the API keys again, and give those that were out another chance."""


class Drain(msgspec.Struct, frozen=True, tag="drain"):
    """End as at the first Ctrl-C: what is in flight finishes."""


class Stop(msgspec.Struct, frozen=True, tag="stop"):
    """End as at the second Ctrl-C: what is in flight is given up."""


class Status(msgspec.Struct, frozen=True, tag="status"):
    """Say how things are, and change nothing."""


Command = Pause | Resume | SetValue | ReloadKeys | Drain | Stop


def parse_setting(text: str) -> SetValue:
    """The command in `concurrency=50`, as a person writes it. Raises `UsageError`."""
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"{text!r} is not of the form NAME=VALUE.", "Such as concurrency=50 or rpm=none.")
    return checked(SetValue(name.strip().replace("-", "_"), value.strip()))


def checked(setting: SetValue) -> SetValue:
    """The setting with its value as the option has it, a number for the text of one. Raises `UsageError`."""
    known = {option.field: option for option in options() if option.field in SETTABLE}
    if setting.name not in known:
        raise UsageError(
            f"{setting.name!r} cannot be set while a run works.",
            f"What can: {', '.join(option.key.replace('_', '-') for option in known.values())}.",
        )
    return SetValue(setting.name, _convert(known[setting.name], setting.value))


def _convert(option: Option, value: Value) -> Value:
    name = option.key.replace("_", "-")
    meant = None if value == NONE else value
    try:
        found: Value = msgspec.convert(meant, option.type, strict=False)
    except msgspec.ValidationError:
        raise UsageError(refused_value(name, option.type, value)) from None
    if isinstance(found, float) and not math.isfinite(found):
        raise UsageError(refused_value(name, option.type, found), f"Without a limit: {name}={NONE}")
    return found


def shown(value: Value) -> str:
    """A value as a person writes it: 600 for 600.0."""
    if value is None:
        return NONE
    return f"{value:.15g}" if isinstance(value, float) else str(value)
