"""Endpoints by name: presets, `[endpoints.NAME]` in `penstock.toml`, and the variables that everybody knows."""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from penstock.errors import UsageError
from penstock.options import CONFIG_FILE, nearest
from penstock.redaction import Secret

LOCAL = "local"
"""The endpoint that this program serves itself: the embedded model."""

LARGEST = 1e12
"""Of rates, weights and multipliers: TOML has infinity too."""

KEY_SOURCES = ("api_key", "api_keys", "api_key_env", "api_keys_env", "api_keys_file")
"""What names keys in `[endpoints.NAME]`, in the order in which they are taken."""

_BETWEEN_KEYS = re.compile(r"[,，\r\n]")
_BYTE_ORDER_MARK = "\ufeff"

Name = Annotated[str, Meta(min_length=1)]
Names = Annotated[tuple[Name, ...], Meta(min_length=1)]
Count = Annotated[int, Meta(ge=1, le=2**31)]
Rate = Annotated[float, Meta(gt=0, le=LARGEST)]
Multiplier = Annotated[float, Meta(ge=0, le=LARGEST)]


class Key(msgspec.Struct, frozen=True):
    """One credential. `secret` is None where the API wants none, or where none is set."""

    secret: Secret | None
    label: str
    """Where it stands, never any part of it: "OPENAI_API_KEY", "keys.txt line 3". Unique within its endpoint."""


NO_KEY = Key(None, "")


class Endpoint(msgspec.Struct, frozen=True):
    """One base URL with its keys, its limits for each of them, and its rank in the pools that it stands in."""

    name: str
    base_url: str
    keys: tuple[Key, ...] = (NO_KEY,)
    """At least one; `NO_KEY` where there is none."""
    key_from: str = ""
    """Where the first key came from, or where it would be looked for, for messages: "OPENAI_API_KEY"."""
    key_missing: bool = False
    """Whether no key is set, and the API is known to want one."""
    priority: int = 1
    """1 is asked first; a higher number only while every lower one is out."""
    weight: float = 1.0
    rpm: float | None = None
    """Requests per minute of each key."""
    tpm: float | None = None
    """Tokens per minute of each key."""
    max_concurrency: int | None = None
    """Calls in flight at once with each key."""
    models: dict[str, str] = {}
    """Names of models here, by the names they are asked by."""
    price_multiplier: float = 1.0
    keys_file: str | None = None
    notes: tuple[str, ...] = ()
    """What to tell about the keys: those that are named twice, and variables that are not set."""

    @property
    def api_key(self) -> Secret | None:
        """The first key."""
        return self.keys[0].secret


class Preset(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `[endpoints.NAME]` may hold, and what is known of the presets. Every key that it names is used."""

    base_url: str
    api_key_env: Name | None = None
    """The variable that holds the key, or several with commas between; None where the API wants none."""
    api_keys_env: Names | None = None
    """Several such variables."""
    api_key: str | None = None
    """The key itself. A variable is safer."""
    api_keys: Names | None = None
    api_keys_file: Name | None = None
    """A file with a key a line, which nobody else may read."""
    priority: Count = 1
    weight: Rate = 1.0
    rpm: Rate | None = None
    tpm: Rate | None = None
    max_concurrency: Count | None = None
    models: dict[Name, Name] = {}
    price_multiplier: Multiplier = 1.0


PRESETS = {
    "openai": Preset("https://api.openai.com/v1", "OPENAI_API_KEY"),
    "poloapi": Preset("https://poloai.top/v1", "POLOAPI_API_KEY"),
    "deepseek": Preset("https://api.deepseek.com/v1", "DEEPSEEK_API_KEY"),
    "openrouter": Preset("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    "dashscope": Preset("https://dashscope.aliyuncs.com/compatible-mode/v1", "DASHSCOPE_API_KEY"),
    "ollama": Preset("http://127.0.0.1:11434/v1"),
    "vllm": Preset("http://127.0.0.1:8000/v1"),
    "sim": Preset("http://127.0.0.1:8900/v1"),
    LOCAL: Preset(""),
}


def resolve_endpoint(
    name: str | None,
    base_url: str | None,
    environ: Mapping[str, str],
    config: Mapping[str, Any],
    *,
    need_key: bool = True,
) -> Endpoint:
    """The endpoint that these options mean. Raises `UsageError` for an unknown name, a bad value or URL, a missing key.

    With `need_key` false a missing key is no error but said in `key_missing`, with the variable to set in `key_from`;
    nor is one that cannot be right. Without a name: `base_url`, then OPENAI_BASE_URL, then OpenAI itself, each with
    OPENAI_API_KEY.
    """
    if name is None and (url := base_url or environ.get("OPENAI_BASE_URL")):
        found = _endpoint(urlsplit(_checked_url(url)).netloc, url, Preset(url, "OPENAI_API_KEY"), environ)
        endpoint = msgspec.structs.replace(found, key_missing=False)
    else:
        name = name or "openai"
        preset = _preset(name, config)
        endpoint = _endpoint(name, base_url or preset.base_url, preset, environ)
    if need_key:
        _refuse_keys(endpoint)
    return endpoint


def known_endpoints(config: Mapping[str, Any]) -> list[str]:
    """The names of the presets and of those that are configured."""
    return sorted({*PRESETS, *config.get("endpoints", {})})


def unknown_endpoint(name: str, config: Mapping[str, Any], where: str = "") -> UsageError:
    """What is wrong with a name that is no endpoint's, and what may stand in its place."""
    return UsageError(
        f"{where}There is no endpoint {name!r}.", f"Known: {', '.join(known_endpoints(config))}; or give --base-url."
    )


def missing_key(endpoint: Endpoint) -> UsageError:
    """What is wrong with an endpoint whose key is missing, and how to mend it."""
    return UsageError(
        f"There is no API key for the endpoint {endpoint.name!r}: {endpoint.key_from} is not set.",
        f"Set it with: export {endpoint.key_from}=…   (or try without a key: penstock demo)",
    )


def _refuse_keys(endpoint: Endpoint) -> None:
    if endpoint.key_missing:
        raise missing_key(endpoint)
    for key in endpoint.keys:
        if key.secret is not None and not _is_one_word(key.secret.reveal()):
            raise UsageError(
                f"The key from {key.label} has white space or an invisible character in it.",
                "Copy the key alone, without a word before or behind it. Several keys have commas between them.",
            )


# What is configured


def _preset(name: str, config: Mapping[str, Any]) -> Preset:
    if name not in known_endpoints(config):
        raise unknown_endpoint(name, config)
    return _configured(name, config) or PRESETS[name]


def _configured(name: str, config: Mapping[str, Any]) -> Preset | None:
    table = config.get("endpoints", {}).get(name)
    if table is None:
        return None
    if (known := PRESETS.get(name)) is not None and isinstance(table, dict):
        own_keys = any(source in table for source in KEY_SOURCES)
        table = {"base_url": known.base_url, "api_key_env": None if own_keys else known.api_key_env} | table
    try:
        return msgspec.convert(table, Preset)
    except msgspec.ValidationError as error:
        unknown = [key for key in table if key not in Preset.__struct_fields__] if isinstance(table, dict) else []
        near = nearest(unknown[0], Preset.__struct_fields__) if unknown else None
        hint = near or f"It may hold: {', '.join(Preset.__struct_fields__)}."
        raise UsageError(f"{CONFIG_FILE}: [endpoints.{name}]: {error}.", hint) from None


def _endpoint(name: str, url: str, preset: Preset, environ: Mapping[str, str]) -> Endpoint:
    keys, notes = _keys(name, preset, environ)
    variable = next(_variables(preset), "")
    return Endpoint(
        name=name,
        base_url=url if name == LOCAL else _checked_url(url),
        keys=keys or (NO_KEY,),
        key_from=keys[0].label if keys else variable,
        key_missing=not keys and bool(variable),
        priority=preset.priority,
        weight=preset.weight,
        rpm=preset.rpm,
        tpm=preset.tpm,
        max_concurrency=preset.max_concurrency,
        models=preset.models,
        price_multiplier=preset.price_multiplier,
        keys_file=preset.api_keys_file,
        notes=notes,
    )


# Keys


def _keys(name: str, preset: Preset, environ: Mapping[str, str]) -> tuple[tuple[Key, ...], tuple[str, ...]]:
    """Every key once, and what to tell about them."""
    labels: dict[Secret, str] = {}
    notes = []
    for key in _given_keys(name, preset, environ):
        if key.secret is None:
            notes.append(f"{key.label} is not set")
        elif key.secret in labels:
            notes.append(f"{key.label} is the same key as {labels[key.secret]}, and is used once")
        else:
            labels[key.secret] = key.label
    keys = tuple(Key(secret, label) for secret, label in labels.items())
    return keys, tuple(notes) if keys else ()


def _given_keys(name: str, preset: Preset, environ: Mapping[str, str]) -> Iterator[Key]:
    """In the order of `KEY_SOURCES`; without a secret for a variable that is not set."""
    where = f"{CONFIG_FILE} [endpoints.{name}]"
    if preset.api_key is not None:
        yield from _written_keys(preset.api_key, f"{where} api_key")
    for number, text in enumerate(preset.api_keys or (), 1):
        yield from _written_keys(text, f"{where} api_keys, key {number}")
    for variable in dict.fromkeys(_variables(preset)):
        yield from split_keys(environ.get(variable, ""), variable) or [Key(None, variable)]
    if preset.api_keys_file is not None:
        yield from _keys_in_file(preset.api_keys_file, f"{CONFIG_FILE}: [endpoints.{name}] api_keys_file")


def _variables(preset: Preset) -> Iterator[str]:
    if preset.api_key_env is not None:
        yield preset.api_key_env
    yield from preset.api_keys_env or ()


def split_keys(text: str, label: str) -> list[Key]:
    """The keys in a text, at commas and line breaks, without white space around them."""
    found = [key for part in _BETWEEN_KEYS.split(text) if (key := _bare(part))]
    if len(found) == 1:
        return [Key(Secret(found[0]), label)]
    return [Key(Secret(key), f"{label}, key {number}") for number, key in enumerate(found, 1)]


def _written_keys(text: str, label: str) -> list[Key]:
    keys = split_keys(text, label)
    if not keys:
        raise UsageError(f"{label} is empty.", "Write the key there, or take the entry out.")
    return keys


def _keys_in_file(name: str, where: str) -> Iterator[Key]:
    path = Path(name).expanduser()
    lines = [_bare(line) for line in _read_private(path, where).splitlines()]
    found = [(number, line) for number, line in enumerate(lines, 1) if line and not line.startswith("#")]
    if not found:
        raise UsageError(f"{where}: {path} holds no key.", "Write one key a line into it.")
    for number, line in found:
        yield from split_keys(line, f"{path.name} line {number}")


def _read_private(path: Path, where: str) -> str:
    """The text of a file that nobody else may read."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            if os.fstat(file.fileno()).st_mode & 0o077 and os.name != "nt":
                raise UsageError(f"{where}: {path} can be read by others.", f"Mend it with: chmod 600 {path}")
            return file.read()
    except UnicodeDecodeError:
        raise UsageError(f"{where}: {path} is not UTF-8 text.", "Save it as plain text, one key a line.") from None
    except OSError as error:
        raise UsageError(
            f"{where}: {path} cannot be read: {error.strerror}.", "Give the path of a file with one key a line."
        ) from None


def _bare(text: str) -> str:
    return text.strip().strip(_BYTE_ORDER_MARK).strip()


def _is_one_word(key: str) -> bool:
    return key.isprintable() and not any(character.isspace() for character in key)


# The base URL


def _checked_url(url: str) -> str:
    url = url.strip().rstrip("/")
    host = (url.partition("://")[2] or url).partition("/")[0]
    if "@" in host:
        raise UsageError("The base URL holds a user name or password.", "Give the key in a variable instead.")
    if not _is_url(url):
        raise UsageError(f"The base URL {url!r} is not a URL.", "It looks like https://api.openai.com/v1")
    return url


def _is_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
