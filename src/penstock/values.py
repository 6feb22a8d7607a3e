"""What the value of an option may be, in plain words, for the person who gave another."""

import re
import types
from typing import Any, Literal, Union, get_args, get_origin

PLAIN = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    dict: "a table of names and values",
    tuple: "text, or a list of texts",
}

_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?")


def refused_value(place: str, annotation: Any, value: Any) -> str:
    """The message for a value that is none of this type: where it stands, what it must be, and what it is."""
    return f"{place} must be {in_words(annotation)}; it is {_shown(value)}."


def in_words(annotation: Any) -> str:
    """A type and its limits, such as "auto or a whole number from 1 to 64"."""
    if hasattr(annotation, "__metadata__"):
        return in_words(annotation.__origin__) + "".join(_limits(meta) for meta in annotation.__metadata__)
    kind = get_origin(annotation) or annotation
    if kind is Literal:
        return " or ".join(str(word) for word in get_args(annotation))
    if kind in (Union, types.UnionType):
        return " or ".join(in_words(member) for member in get_args(annotation) if member is not type(None))
    return PLAIN[kind]


def _limits(meta: Any) -> str:
    if meta.gt is not None:
        return f" above {meta.gt:g}"
    if meta.ge is not None and meta.le is not None:
        return f" from {meta.ge} to {meta.le}"
    return "" if meta.ge is None else f" of at least {meta.ge}"


def _shown(value: Any) -> str:
    """A number as a person writes it, whatever it was read as; other text in quotes."""
    if isinstance(value, float):
        return f"{value:.15g}"
    return value if isinstance(value, str) and _NUMBER.fullmatch(value) else repr(value)
