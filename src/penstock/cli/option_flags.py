"""Giving a command a flag for every option: the signature that cyclopts reads is made from `options.options()`."""

import inspect
from collections.abc import Callable, Iterable
from typing import Annotated, Any, get_args

from cyclopts import Group, Parameter

from penstock.errors import UsageError
from penstock.options import GROUPS, Option, options

SHORT_FLAGS = {"output": "-o", "model": "-m"}

PLACEHOLDERS = {
    "model": "NAME",
    "prompt": "TEMPLATE",
    "prompt_file": "FILE",
    "system": "TEMPLATE",
    "param": "NAME=VALUE",
    "key": "FIELD",
    "endpoint": "NAME",
    "base_url": "URL",
    "ca_file": "FILE",
    "concurrency": "auto|N",
    "rpm": "N",
    "tpm": "N",
    "budget": "AMOUNT",
    "name": "NAME",
    "home": "FOLDER",
    "output": "PATH",
}
"""What help shows in the place of a value; numbers are N, or their unit."""

PANELS = {name: Group(name, sort_key=place) for place, name in enumerate(GROUPS)}
"""The headings of help, in order."""
_DISPLAY = Group("Display", sort_key=len(GROUPS))

DryRun = Annotated[
    bool,
    Parameter(
        help="Show the first requests and an estimate; send nothing.", group=_DISPLAY, negative=(), show_default=False
    ),
]
Json = Annotated[
    bool, Parameter(help="Print events as JSON, one a line.", group=_DISPLAY, negative=(), show_default=False)
]
Quiet = Annotated[bool, Parameter(help="Print only how it ended.", group=_DISPLAY, negative=(), show_default=False)]


def with_option_flags(
    command: Callable[..., Any], without: Iterable[str] = (), only: Iterable[str] | None = None
) -> Callable[..., Any]:
    """`command` with a keyword parameter for every option, or `only` some; it is called with those that were given."""
    parameters = [p for p in inspect.signature(command).parameters.values() if p.kind is not p.VAR_KEYWORD]
    wanted = {option.field for option in options()} if only is None else set(only)
    flags = [_parameter(option) for option in options() if option.field in wanted - set(without)]
    signature = inspect.Signature([*parameters, *flags])
    command.__signature__ = signature  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in signature.parameters.values()}
    return command


def given_options(flags: dict[str, Any]) -> dict[str, Any]:
    """The flags as options: only `--param K=V` is written differently."""
    if "param" in flags:
        flags = flags | {"param": dict(_assignment(text) for text in flags["param"])}
    return flags


def _assignment(text: str) -> tuple[str, Any]:
    import msgspec

    name, equals, value = text.partition("=")
    if not name or not equals:
        raise UsageError(f"--param {text!r} is not of the form NAME=VALUE.", "Such as --param temperature=0.2")
    try:
        return name, msgspec.json.decode(value)
    except msgspec.DecodeError:
        return name, value


def _parameter(option: Option) -> inspect.Parameter:
    names = [option.flag, *([SHORT_FLAGS[option.field]] if option.field in SHORT_FLAGS else [])]
    about = Parameter(
        name=names,
        help=option.help,
        group=PANELS[option.group],
        negative=(),
        show_default=_shown_default(option.default),
        metavar=_placeholder(option),
        allow_leading_hyphen=option.field == "output",
    )
    default = () if option.field in ("param", "output") else option.default
    return inspect.Parameter(
        option.field, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[_flag_type(option), about]
    )


def _flag_type(option: Option) -> Any:
    if option.field == "param":
        return tuple[str, ...]
    return _plain(option.type)


def _plain(annotation: Any) -> Any:
    """The type without msgspec's limits: those are checked with the other sources of options, in one place."""
    if hasattr(annotation, "__metadata__"):
        return annotation.__origin__
    if (members := get_args(annotation)) and type(None) in members:
        return _plain(members[0]) | None
    if int in map(_plain, members):  # a number or a word
        return str
    return annotation


def _placeholder(option: Option) -> str | None:
    if option.field in PLACEHOLDERS:
        return PLACEHOLDERS[option.field]
    if option.field.endswith("_s"):
        return "SECONDS"
    return "N" if _plain(option.type) in (int, int | None) else None


def _shown_default(default: Any) -> bool | Callable[[Any], str]:
    if default in (None, (), {}, False):
        return False
    return "{:g}".format if isinstance(default, float) else True
