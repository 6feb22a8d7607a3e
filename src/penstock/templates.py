"""Prompt templates: Jinja syntax over one row, compiled once. They reach the row and nothing else: no file, no network.

A field that is missing or null where it is printed is an error in words, never a hole in a prompt that is paid for.
"""

import re
from collections.abc import Callable
from typing import Any, Literal

import minijinja

from penstock.errors import TemplateError

FUEL = 200_000
"""Instructions that one rendering may take; a template that loops without end stops there."""

_NAME = "template"
_MANY_FIELDS = 12
_FIELD = re.compile(r"\{\{\s*([A-Za-z_]\w*)\s*\}\}", re.ASCII)
_MARKS = ("{{", "{%", "{#", "}}", "%}", "#}")
_ALWAYS_WRONG = {"UnknownFilter", "UnknownTest", "UnknownFunction", "TemplateNotFound"}
_HINT = "A field of the row is written {{ text }}, one with blanks {{ row['my column'] }}, a literal {{ as {{ '{{' }}."


class Template:
    """A compiled template. `name` is what messages call it ("the prompt"), `fields` are the names it reads."""

    def __init__(self, text: str, name: str = "the template") -> None:
        """Compile `text`. Raises `TemplateError` with the line for what can never be rendered."""
        self.name = name
        self._environment = _environment("strict", finalizer=_not_null)
        try:
            self._environment.add_template(_NAME, text)
            _try(text)
        except minijinja.TemplateError as error:
            words = error.detail or error.message
            raise TemplateError(f"{name} does not compile, line {error.line or 1}: {words}.", _HINT) from None
        names = self._environment.undeclared_variables_in_str(text)
        self.fields = frozenset(names) - {"row", *self._environment.globals}
        self._pieces, self._places = _plain(text, self.fields)

    def render(self, data: dict[str, Any]) -> str:
        """The text for one row. Its fields stand by name, and all of them in `row`, unless it has a field `row`.

        Raises `ValueError`, in words for the user, when the row lacks what the template prints.
        """
        if self._places and (rendered := self._joined(data)) is not None:
            return rendered
        try:
            return self._environment.render_template(_NAME, **{"row": data, **data})
        except minijinja.TemplateError as error:
            raise ValueError(self._words(error, data)) from None
        except Exception as error:
            # Methods of a row's lists and objects are Python's own and raise what they like.
            raise ValueError(f"{self.name} cannot be rendered: {error}") from None

    def _joined(self, data: dict[str, Any]) -> str | None:
        """The text, where the template only prints fields and these are texts: a quarter of the time it takes else."""
        pieces = self._pieces.copy()
        for place, field in self._places:
            value = data.get(field)
            if type(value) is not str:
                return None
            pieces[place] = value
        return "".join(pieces)

    def _words(self, error: minijinja.TemplateError, data: dict[str, Any]) -> str:
        detail = error.detail or error.message
        if error.kind != "UndefinedError":
            return f"{self.name}, line {error.line or 1}: {detail}"
        shown = ", ".join(list(data)[:_MANY_FIELDS]) + (", …" if len(data) > _MANY_FIELDS else "")
        return f"{self.name} needs {detail.removesuffix(' is undefined')}, the row has: {shown or 'no fields'}"


def _plain(text: str, fields: frozenset[str]) -> tuple[list[str], list[tuple[int, str]]]:
    """A template in pieces, and the places among them that hold fields; no places where it does more than that."""
    pieces = _FIELD.split(text)
    places = [(place, pieces[place]) for place in range(1, len(pieces), 2)]
    around = pieces[::2]
    does_more = any(mark in piece for piece in around for mark in _MARKS) or text.endswith(("\n", "\r"))
    return pieces, [] if does_more or not fields.issuperset(pieces[1::2]) else places


def _environment(
    undefined_behavior: Literal["strict", "chainable"], finalizer: Callable[[Any], Any] | None = None
) -> minijinja.Environment:
    return minijinja.Environment(
        fuel=FUEL,
        undefined_behavior=undefined_behavior,
        finalizer=finalizer,
        auto_escape_callback=lambda _name: False,
    )


def _not_null(value: Any) -> Any:
    if value is None:
        raise ValueError("it prints a field that is null; write {{ field or '' }} where that is meant")
    return value


def _try(text: str) -> None:
    """Raise for filters, tests and functions that do not exist, which compiling does not notice."""
    try:
        _environment("chainable").render_str(text)
    except minijinja.TemplateError as error:
        if error.kind in _ALWAYS_WRONG:
            raise
