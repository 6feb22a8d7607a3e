"""Endpoints by name: presets, `[endpoints.NAME]` in `penstock.toml`, and the variables that everybody knows."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from penstock.errors import UsageError
from penstock.options import CONFIG_FILE
from penstock.redaction import Secret

LOCAL = "local"
"""The endpoint that this program serves itself: the embedded model."""


class Endpoint(msgspec.Struct, frozen=True):
    """One base URL with its credentials. `api_key` is None where the API wants none."""

    name: str
    base_url: str
    api_key: Secret | None = None
    key_from: str = ""
    """Where the key came from, or where it would be looked for, for messages: "OPENAI_API_KEY"."""
    key_missing: bool = False
    """Whether the key is not set, and the API is known to want one."""


class Preset(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `[endpoints.NAME]` may hold, and what is known of the presets."""

    base_url: str
    api_key_env: str | None = None
    """The variable that holds the key; None where the API wants none."""
    api_key: str | None = None
    """The key itself. A variable is safer."""


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
    """The endpoint that these options mean. Raises `UsageError` for an unknown name, a bad URL or a missing key.

    With `need_key` false a missing key is no error but said in `key_missing`; `key_from` names the variable to set.
    Without a name: `base_url`, then OPENAI_BASE_URL, then OpenAI itself, each with OPENAI_API_KEY.
    """
    if name is None and (url := base_url or environ.get("OPENAI_BASE_URL")):
        found = environ.get("OPENAI_API_KEY")
        url = _checked_url(url)
        return Endpoint(urlsplit(url).netloc, url, Secret(found) if found else None, "OPENAI_API_KEY")
    name = name or "openai"
    preset = _configured(name, config) or PRESETS.get(name)
    if preset is None:
        known = sorted({*PRESETS, *config.get("endpoints", {})})
        raise UsageError(f"There is no endpoint {name!r}.", f"Known: {', '.join(known)}; or give --base-url.")
    key, key_from = _key(name, preset, environ)
    url = base_url or preset.base_url
    url = url if name == LOCAL else _checked_url(url)
    endpoint = Endpoint(name, url, key, key_from, key_missing=key is None and bool(key_from))
    if need_key and endpoint.key_missing:
        raise missing_key(endpoint)
    return endpoint


def missing_key(endpoint: Endpoint) -> UsageError:
    """What is wrong with an endpoint whose key is missing, and how to mend it."""
    return UsageError(
        f"There is no API key for the endpoint {endpoint.name!r}: {endpoint.key_from} is not set.",
        f"Set it with: export {endpoint.key_from}=…   (or try without a key: penstock demo)",
    )


def _configured(name: str, config: Mapping[str, Any]) -> Preset | None:
    table = config.get("endpoints", {}).get(name)
    if table is None:
        return None
    if (known := PRESETS.get(name)) is not None and isinstance(table, dict):
        table = {"base_url": known.base_url, "api_key_env": known.api_key_env} | table
    try:
        return msgspec.convert(table, Preset)
    except msgspec.ValidationError as error:
        raise UsageError(f"{CONFIG_FILE}: [endpoints.{name}]: {error}.") from None


def _key(name: str, preset: Preset, environ: Mapping[str, str]) -> tuple[Secret | None, str]:
    if preset.api_key is not None:
        return Secret(preset.api_key), f"{CONFIG_FILE} [endpoints.{name}] api_key"
    if preset.api_key_env is None:
        return None, ""
    key = environ.get(preset.api_key_env)
    return (Secret(key) if key else None), preset.api_key_env


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
