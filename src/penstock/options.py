"""Every option of a run, declared once.

A field of `RunOptions` is the option: its type and limits are the validation, its description is the help text, and the
flag, the environment variable, the key in `penstock.toml` and the reference page are derived from it here. Values come
from flags, then `PENSTOCK_*`, then `[run]` in `penstock.toml`, then the default.
"""

import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from penstock.errors import UsageError
from penstock.values import refused_value

ApiName = Literal["chat", "completions", "responses", "embeddings", "moderations"]
Ambiguous = Literal["never", "once", "always"]
Durability = Literal["normal", "full"]
Order = Literal["input", "completion"]
Format = Literal["penstock", "openai-batch"]

Count = Annotated[int, Meta(ge=1)]
Processes = Annotated[int, Meta(ge=1, le=64)]
Seconds = Annotated[float, Meta(gt=0)]
Rate = Annotated[float, Meta(gt=0)]
Amount = Annotated[float, Meta(gt=0)]

CONFIG_FILE = "penstock.toml"
TABLES = ("run", "endpoints", "models", "pricing")
"""The tables of that file."""
UNITS = ("_s", "_mb")
"""Suffixes of field names that a flag leaves out: `timeout_s` is `--timeout`."""


class RunOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a run is to be done. Groups as on the reference page: the request, where, how fast, the run, the output."""

    model: Annotated[str | None, Meta(description="Model to ask; a row's own `model` field wins.")] = None
    prompt: Annotated[
        str | None,
        Meta(description="Template rendered over each row, such as 'Summarise: {{ text }}'."),
    ] = None
    prompt_file: Annotated[str | None, Meta(description="File that holds the prompt template.")] = None
    system: Annotated[str | None, Meta(description="Template of the system message, rendered over each row.")] = None
    param: Annotated[
        dict[str, Any],
        Meta(
            description="Field of the request body, such as temperature=0.2; the value is JSON, or else text. "
            "May be repeated; a row's own `params` field wins.",
        ),
    ] = {}
    api: Annotated[ApiName, Meta(description="Kind of request; an OpenAI Batch line names its own.")] = "chat"
    stream: Annotated[
        bool,
        Meta(
            description="Read answers as they are written: chat, completions, responses. Their time to the first token "
            "and tokens per second are recorded, and a stream that breaks off is no answer."
        ),
    ] = False
    key: Annotated[
        str | None,
        Meta(description="Field that holds a row's key; by default custom_id, key or id, else its index."),
    ] = None

    endpoint: Annotated[str | None, Meta(description="Preset, or a name under [endpoints] in penstock.toml.")] = None
    base_url: Annotated[str | None, Meta(description="Base URL of any OpenAI-compatible API, up to and with /v1.")] = (
        None
    )
    ca_file: Annotated[
        str | None, Meta(description="PEM file of a certificate authority to trust besides the usual ones.")
    ] = None

    concurrency: Annotated[
        Literal["auto"] | Count,
        Meta(description="Calls in flight at once: a number is kept exactly, auto finds what the provider bears."),
    ] = "auto"
    max_concurrency: Annotated[Count, Meta(description="As far as --concurrency auto may go.")] = 5000
    processes: Annotated[
        Literal["auto"] | Processes,
        Meta(
            description="Worker processes that make the calls, for what one processor core cannot do; all limits hold "
            "for the run as a whole. 1 makes them in this process, auto takes workers once calls are short and more "
            "than 1,000 leave each second."
        ),
    ] = "auto"
    rpm: Annotated[
        Rate | None,
        Meta(
            description="Requests per minute of the whole run, held over any minute; limits the provider announces "
            "are kept without it."
        ),
    ] = None
    tpm: Annotated[Rate | None, Meta(description="Tokens per minute of the whole run, input and output.")] = None
    budget: Annotated[
        Amount | None,
        Meta(description="Most the run may cost, in the currency of the prices; reserved before each call is sent."),
    ] = None
    hedge: Annotated[
        bool,
        Meta(description="Send a second copy of the slowest few calls and take the first answer; both may be billed."),
    ] = False
    timeout_s: Annotated[
        Seconds, Meta(description="Seconds one call may take in all, from connecting to the last byte.")
    ] = 600.0
    connect_timeout_s: Annotated[Seconds, Meta(description="Seconds a connection may take.")] = 10.0
    idle_timeout_s: Annotated[
        Seconds | None,
        Meta(
            description="Seconds without a byte after which a call is given up; off by default, since an answer that "
            "is not streamed sends nothing until it is complete."
        ),
    ] = None
    max_response_mb: Annotated[Count, Meta(description="Largest response read, in MB.")] = 64
    max_attempts: Annotated[
        Count, Meta(description="Attempts per task; waiting for a rate limit or a connection does not count.")
    ] = 5
    ambiguous: Annotated[
        Ambiguous,
        Meta(description="How often to send a task again when it may already have been answered and billed."),
    ] = "once"
    patience_s: Annotated[
        Seconds,
        Meta(
            description="Seconds that an endpoint which is not reached or overloaded is tried, and the longest wait "
            "that a provider may ask for, before the run pauses."
        ),
    ] = 900.0

    name: Annotated[str | None, Meta(description="Name of the run; by default from the source and the output.")] = None
    home: Annotated[str, Meta(description="Folder that holds the runs.")] = ".penstock"
    fresh: Annotated[bool, Meta(description="Forget an earlier run of this name and its outputs, and begin anew.")] = (
        False
    )
    limit: Annotated[Count | None, Meta(description="Take at most this many rows of the source.")] = None
    durability: Annotated[
        Durability,
        Meta(description="normal survives any crash of the program; full survives power loss too, and is slower."),
    ] = "normal"

    output: Annotated[
        tuple[str, ...],
        Meta(
            description="Where results go: a .jsonl, .csv or .parquet file, or - for standard output. May be repeated."
        ),
    ] = ()
    format: Annotated[Format, Meta(description="Lines of .jsonl outputs.")] = "penstock"
    order: Annotated[
        Order, Meta(description="Order of the outputs after a clean finish; while running it is completion.")
    ] = "input"


GROUPS = {
    "Request": ("model", "prompt", "prompt_file", "system", "param", "api", "stream", "key"),
    "Endpoint": ("endpoint", "base_url", "ca_file"),
    "Flow": (
        "concurrency",
        "max_concurrency",
        "processes",
        "rpm",
        "tpm",
        "budget",
        "hedge",
        "timeout_s",
        "connect_timeout_s",
        "idle_timeout_s",
        "max_response_mb",
        "max_attempts",
        "ambiguous",
        "patience_s",
    ),
    "Run": ("name", "home", "fresh", "limit", "durability"),
    "Output": ("output", "format", "order"),
}
"""Which heading an option stands under in help and reference; a test proves that every field stands under one."""

SHAPES_REQUEST = ("model", "prompt", "system", "param", "api", "stream", "key")
"""Options that change what is sent: a run that exists refuses another value for one of them."""


class Option(msgspec.Struct, frozen=True):
    """One field of `RunOptions` as a person meets it."""

    field: str
    key: str
    """In `penstock.toml` and, with hyphens, as the flag: `max_attempts`."""
    type: Any
    default: Any
    help: str
    group: str

    @property
    def flag(self) -> str:
        """The long flag."""
        return "--" + self.key.replace("_", "-")

    @property
    def variable(self) -> str:
        """The environment variable."""
        return "PENSTOCK_" + self.key.upper()


def without_unit(field: str) -> str:
    """The name a person uses: the field's, without the unit it ends in."""
    return next((field.removesuffix(unit) for unit in UNITS if field.endswith(unit)), field)


def options() -> list[Option]:
    """Every option, in the order of `GROUPS`."""
    annotations = RunOptions.__annotations__
    fields = {field.name: field for field in msgspec.structs.fields(RunOptions)}
    return [
        Option(
            field=name,
            key=without_unit(name),
            type=_type_of(annotations[name]),
            default=fields[name].default_factory()
            if fields[name].default is msgspec.NODEFAULT
            else fields[name].default,
            help=next(m.description for m in annotations[name].__metadata__ if m.description),
            group=group,
        )
        for group, names in GROUPS.items()
        for name in names
    ]


def _type_of(annotation: Any) -> Any:
    """The type with its limits, without the help text."""
    limits = tuple(meta for meta in annotation.__metadata__ if not meta.description)
    return Annotated[(annotation.__origin__, *limits)] if limits else annotation.__origin__


def load_config(path: Path = Path(CONFIG_FILE)) -> dict[str, Any]:
    """The tables of `penstock.toml`; empty where there is no such file. Raises `UsageError`."""
    try:
        with path.open("rb") as file:
            config = tomllib.load(file)
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}.") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from None
    for name, value in config.items():
        if name not in TABLES:
            raise _unknown_at_top(path, name, value)
    for name in TABLES:
        if not isinstance(config.get(name, {}), dict):
            raise UsageError(f"{path}: {name} is not a table.", f"It begins with a line [{name}].")
    return config


def _unknown_at_top(path: Path, name: str, value: Any) -> UsageError:
    """A table, or a line above all tables, that nobody reads."""
    if isinstance(value, dict):
        near = nearest(name, TABLES)
        return UsageError(f"{path}: there is no table [{name}].", near or f"There are: {', '.join(TABLES)}.")
    near = nearest(name, [option.key for option in options()])
    under = "Options stand under a line [run]."
    return UsageError(f"{path}: {name} stands in no table.", f"{near} {under}" if near else under)


def resolve_options(
    given: Mapping[str, Any],
    environ: Mapping[str, str] | None = None,
    config: Mapping[str, Any] | None = None,
) -> RunOptions:
    """The options of a run from everywhere they may be set. Raises `UsageError` naming the place of a bad value.

    `given` has the fields set by flags or keywords; a value of None counts as not given.
    """
    environ = os.environ if environ is None else environ
    table = (load_config() if config is None else config).get("run", {})
    known = {option.key: option for option in options()}
    for key in table:
        if key not in known:
            raise UsageError(f"{CONFIG_FILE}: [run] has no option {key!r}.", nearest(key, known))
    values: dict[str, Any] = {}
    layers: dict[str, int] = {}
    for option in known.values():
        places = (
            (given.get(option.field), option.flag),
            (environ.get(option.variable), option.variable),
            (table.get(option.key), f"{CONFIG_FILE}: [run] {option.key}"),
        )
        for layer, (value, origin) in enumerate(places):
            if value is not None:
                values[option.field] = _convert(option, value, origin)
                layers[option.field] = layer
                break
    _keep_keys_at_home(values, layers)
    return RunOptions(**values)


def _keep_keys_at_home(values: dict[str, Any], layers: Mapping[str, int]) -> None:
    """An endpoint named in one place is not combined with an address from another: its key would go there."""
    for one, other in (("endpoint", "base_url"), ("base_url", "endpoint")):
        if one in layers and other in layers and layers[one] < layers[other]:
            del values[other]


def _convert(option: Option, value: Any, origin: str) -> Any:
    if isinstance(value, str) and option.field == "output":
        value = [value]
    if isinstance(value, str) and option.field == "param":
        value = _decode_object(value, origin)
    try:
        return msgspec.convert(value, option.type, strict=False)
    except msgspec.ValidationError:
        raise UsageError(refused_value(origin, option.type, value)) from None


def _decode_object(text: str, origin: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        raise UsageError(f'{origin}: expected a JSON object, such as {{"temperature": 0.2}}.') from None


def nearest(key: str, known: Iterable[str]) -> str | None:
    """A question for the person who wrote another name than one that is known; None where none is like it."""
    import difflib

    near = difflib.get_close_matches(key, list(known), n=1)
    return f"Did you mean {near[0]!r}?" if near else None
