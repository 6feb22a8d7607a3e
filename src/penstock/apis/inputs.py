"""What a row gives to ask with: the rendered prompt first, then the row's own fields. And how much was asked."""

from typing import Any

import msgspec

NO_PROMPT = "the row has no prompt: give --prompt, or a `prompt` or `messages` field"
NO_INPUT = "the row has no input: give --prompt, or an `input` or `prompt` field"
NO_SYSTEM = "this API takes no system message: leave out --system"

Input = str | list[Any]


class _Asked(msgspec.Struct, frozen=True):
    input: Any = None


_ASKED = msgspec.json.Decoder(_Asked)


def messages_of(row: dict[str, Any]) -> list[Any] | None:
    """The row's own `messages`, None where it has none. Raises `ValueError` where they are no messages."""
    messages = row.get("messages")
    if messages is None:
        return None
    if not isinstance(messages, list) or not messages or not all(isinstance(message, dict) for message in messages):
        raise ValueError("the row's `messages` is not a list of messages")
    return messages


def input_of(row: dict[str, Any], prompt: str | None, fields: tuple[str, ...], missing: str) -> Input:
    """The prompt, or else the first of `fields` that the row has.

    A list is taken as it is: parts of a message, or several inputs. Raises `ValueError`, with the words `missing`
    where there is none.
    """
    if prompt is not None:
        return _not_empty(prompt, "prompt")
    for field in fields:
        if (value := row.get(field)) is not None:
            return _not_empty(value, f"row's `{field}`")
    raise ValueError(missing)


def count_inputs(request: bytes) -> int | None:
    """How many inputs the body of a request has: a text is one, and so is a list of token numbers.

    None where there is no request, or where its input has parts, of which each provider makes one input or several.
    """
    return count_texts(_ASKED.decode(request).input) if request else None


def count_texts(asked: Any) -> int | None:
    """How many texts stand in an input or a prompt, as `count_inputs` counts them."""
    if isinstance(asked, str):
        return 1
    if not isinstance(asked, list) or any(isinstance(item, dict) for item in asked):
        return None
    return 1 if all(isinstance(item, int) for item in asked) else len(asked)


def without_system(system: str | None) -> None:
    """Raise `ValueError` where a system message was asked for and the API has no place for it."""
    if system is not None:
        raise ValueError(NO_SYSTEM)


def _not_empty(value: object, what: str) -> Input:
    if not isinstance(value, str | list):
        raise ValueError(f"the {what} is neither text nor a list")
    if not value:
        raise ValueError(f"the {what} is empty")
    return value
