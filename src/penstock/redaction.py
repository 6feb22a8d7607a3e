"""Keeping credentials out of everything that is written: a type that does not show, and a filter for foreign text."""

import re
from typing import Any

EXCERPT_CHARS = 500

_TAGS = re.compile(r"<(script|style)\b.*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_KEY_LIKE = re.compile(r"\b(?:sk|pk|rk|key|gsk|xai)[-_][A-Za-z0-9_\-]{8,}|(?<=Bearer )[^\s\"']+")
_PASSWORD_IN_URL = re.compile(r"(?<=://)([^/@\s:]*):[^/@\s]*@")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Secret:
    """A credential. Only `reveal()` gives it; printing, formatting, pickling and encoding do not."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The credential itself, for the one place that sends it."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('…')"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> Any:
        raise TypeError("a Secret is not pickled")


def redact(text: str, secrets: tuple[Secret, ...] = ()) -> str:
    """`text` without these secrets, anything that looks like a key, and passwords in URLs."""
    for secret in secrets:
        if value := secret.reveal():
            text = text.replace(value, "[redacted]")
    return _PASSWORD_IN_URL.sub(r"\1:[redacted]@", _KEY_LIKE.sub("[redacted]", text))


def excerpt(body: bytes, secrets: tuple[Secret, ...] = ()) -> str:
    """At most 500 characters of a body for a person: no tags, no control characters, no credentials."""
    text = body[: 16 * EXCERPT_CHARS].decode("utf-8", "replace")
    return redact(printable_line(_TAGS.sub(" ", text)), secrets)[:EXCERPT_CHARS]


def printable(text: str) -> str:
    """`text` without control characters, so that a model's words cannot steer a terminal."""
    return _CONTROL.sub("", text)


def printable_line(text: str) -> str:
    """`text` without control characters, on one line."""
    return " ".join(printable(text).split())
