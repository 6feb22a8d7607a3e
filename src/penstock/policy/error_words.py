"""The provider's own words for an error, read from whatever shape its body has. Nothing raises."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from penstock.policy.retry_after import delay_in_words
from penstock.redaction import excerpt, printable_line, redact

MESSAGE_CHARS = 300

DELAY_FIELDS = (
    "retryDelay",
    "retry_after_seconds",
    "retry_after",
    "retryAfter",
    "retry-after",
    "x-ratelimit-reset",
    "estimated_time",
)
"""Where bodies say how long to wait: Gemini, OpenRouter, gateways, headers inside a body, a model that is loading."""

_TITLE = re.compile(rb"<title[^>]*>([^<]{1,300})", re.IGNORECASE)
_HTML = re.compile(rb"\s*<(!doctype|html|head|body|\?xml)", re.IGNORECASE)


class ErrorWords(msgspec.Struct, frozen=True):
    """What a provider says about an error.

    `message` is one redacted line, "" where there is none; `codes` are its names for the error, the most telling
    first; `status` is an HTTP status given inside the body; `delay` a wait, as text; `excerpt` the body for a person.
    """

    message: str = ""
    codes: tuple[str, ...] = ()
    status: int | None = None
    delay: str | None = None
    excerpt: str | None = None


def read_error_body(body: bytes) -> ErrorWords:
    """The words in the body of a response that is no answer: JSON of any shape, HTML, text, or nothing."""
    shown = excerpt_of(body)
    try:
        words = read_error(decoded) if (decoded := msgspec.json.decode(body)) else ErrorWords()
    except (ValueError, RecursionError):
        words = ErrorWords(message=one_line(shown), delay=delay_in_words(shown))
    return msgspec.structs.replace(words, excerpt=shown or None)


def read_error(error: object) -> ErrorWords:
    """The words in a decoded error: an object, the object around it, a list of either, or text."""
    layers = list(_layers(error))
    message = one_line(next((text for layer in layers if (text := _message(layer))), "") or _as_json(error))
    objects = [layer for layer in layers if isinstance(layer, dict)]
    names = [name for layer in objects for name in _names(layer)]
    numbers = [int(name) for name in names if re.fullmatch("[1-5][0-9][0-9]", name)]
    delay = next((delay for layer in objects for delay in _delays(layer)), None)
    return ErrorWords(
        message=message,
        codes=tuple(name for name in names if not name.isdigit()),
        status=numbers[0] if numbers else None,
        delay=delay or delay_in_words(message),
    )


def is_html(body: bytes) -> bool:
    """Whether this is a web page."""
    return _HTML.match(body) is not None


def excerpt_of(body: bytes) -> str:
    """At most 500 characters of a body for a person.

    Of a web page only the title: the pages of content networks hold the caller's own address.
    """
    title = _TITLE.search(body[:4_096]) if is_html(body) else None
    return excerpt(title[1] if title else body)


def one_line(text: str, most: int = MESSAGE_CHARS) -> str:
    """Foreign text as one redacted, printable line of at most `most` characters."""
    return redact(printable_line(text[: 8 * MESSAGE_CHARS]))[:most]


def _layers(error: object) -> Iterator[object]:
    """The error from the inside out: `{"error": {…}}` gives the inner object, then the outer one."""
    outer: list[object] = []
    while error and len(outer) < 8:
        if isinstance(error, list):
            error = error[0]
            continue
        outer.append(error)
        inner = (error.get(name) for name in ("error", "errors", "detail")) if isinstance(error, dict) else ()
        error = next((value for value in inner if value), None)
    return reversed(outer)


def _message(layer: object) -> str:
    if isinstance(layer, str):
        return layer
    if not isinstance(layer, dict):
        return ""
    texts = (layer.get(name) for name in ("message", "msg", "error_msg", "error_message", "title"))
    message = next((text for text in texts if isinstance(text, str) and text), "")
    metadata = layer.get("metadata")
    behind = metadata.get("raw") if isinstance(metadata, dict) else None
    return f"{message}: {behind}" if isinstance(behind, str) and behind else message


def _as_json(error: object) -> str:
    return msgspec.json.encode(error)[: 2 * MESSAGE_CHARS].decode("utf-8", "replace") if error else ""


def _names(layer: dict[str, Any]) -> Iterator[str]:
    """Codes, from the narrowest (inside `details`) to the widest (`type`); numbers as text."""
    for detail in _details(layer):
        yield from _texts(detail, "error_code", "code", "reason")
    for name in _texts(layer, "code", "error_code", "__type", "type", "status"):
        yield name.rpartition("#")[2]


def _details(layer: dict[str, Any]) -> list[dict[str, Any]]:
    found = [layer.get("details"), layer.get("innererror")]
    flat = [part for value in found for part in (value if isinstance(value, list) else [value])]
    return [part for part in flat if isinstance(part, dict)]


def _delays(layer: dict[str, Any]) -> Iterator[str]:
    """Waits as text: in Gemini's `details`, in OpenRouter's `metadata`, or in headers that a gateway passes on."""
    metadata = layer.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    passed_on = metadata.get("headers")
    headers = {str(name).lower(): value for name, value in passed_on.items()} if isinstance(passed_on, dict) else {}
    for place in (*_details(layer), metadata, layer, headers):
        for name in DELAY_FIELDS:
            value = place.get(name)
            if isinstance(value, str | float | int) and not isinstance(value, bool):
                yield str(value)


def _texts(layer: dict[str, Any], *names: str) -> Iterator[str]:
    for name in names:
        value = layer.get(name)
        if isinstance(value, str) and value:
            yield value[:100]
        elif type(value) is int and 0 < value < 1_000:
            yield str(value)
