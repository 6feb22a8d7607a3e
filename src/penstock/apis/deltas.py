"""Putting together what comes in deltas: text is joined, lists grow, objects are merged, tool calls go by index."""

from typing import Any

REASONING = frozenset({"reasoning_content", "reasoning"})
"""Where providers put the words of a model's reasoning."""
JOINED = REASONING | {"content", "refusal", "text", "arguments", "data", "transcript", "thinking", "summary"}
"""Fields whose text comes in pieces; any other text (an id, a role, a name) is repeated as a whole."""


class Message:
    """A message in the making: the deltas of one choice go in."""

    __slots__ = ("_calls", "_fields", "_places", "_texts")

    def __init__(self) -> None:
        self._texts: dict[str, list[str]] = {}
        self._fields: dict[str, Any] = {}
        self._calls: list[dict[str, Any]] = []
        self._places: dict[int, dict[str, Any]] = {}

    def take(self, delta: dict[str, Any]) -> bool:
        """The next delta; whether it brought something of the answer. A role, or an empty text, is nothing yet."""
        brought = False
        for name, value in delta.items():
            if not value:
                if value == "" and name in JOINED:
                    self._texts.setdefault(name, [])
                continue
            if isinstance(value, str) and name in JOINED:
                self._texts.setdefault(name, []).append(value)
                brought = True
            elif name == "tool_calls" and isinstance(value, list):
                for call in value:
                    self._take_call(call)
                brought = True
            elif isinstance(value, str):
                self._fields[name] = value
            else:
                self._fields[name] = merge(self._fields.get(name), value)
                brought = brought or isinstance(value, (list, dict))
        return brought

    def text(self) -> str:
        """The words so far: the content, or else the refusal, the reasoning, or the text of a continuation."""
        for name in ("content", "text", "refusal", *sorted(REASONING)):
            if pieces := self._texts.get(name):
                return "".join(pieces)
        return ""

    def fields(self) -> dict[str, Any]:
        """The message as it would have come in one piece."""
        fields: dict[str, Any] = {"role": self._fields.get("role", "assistant")}
        fields["content"] = self._content()
        fields |= {name: "".join(pieces) for name, pieces in self._texts.items() if name != "content" and pieces}
        fields |= {name: value for name, value in self._fields.items() if name not in fields}
        if self._calls:
            fields["tool_calls"] = self._calls
        return fields

    def _content(self) -> str | list[Any] | None:
        pieces, parts = self._texts.get("content"), self._fields.get("content")
        if isinstance(parts, list):
            return [*parts, {"type": "text", "text": "".join(pieces)}] if pieces else parts
        if pieces is None or not (pieces or self._says_nothing_else()):
            return None
        return "".join(pieces)

    def _says_nothing_else(self) -> bool:
        return not self._calls and "function_call" not in self._fields and not self._texts.get("refusal")

    def _take_call(self, part: Any) -> None:
        """A part of a tool call: of the one with its index, of a new one where its id is another, or of the last."""
        if not isinstance(part, dict):
            return
        index = part.get("index")
        call = self._places.get(index) if isinstance(index, int) else self._calls[-1] if self._calls else None
        new_id = part.get("id")
        if call is None or (new_id and call.get("id") and new_id != call["id"]):
            call = {}
            self._calls.append(call)
        if isinstance(index, int):
            self._places[index] = call
        for name, value in part.items():
            if name != "index" and value is not None:
                call[name] = merge(call.get(name), value, name)


def merge(old: Any, new: Any, name: str = "") -> Any:
    """What two deltas of the field `name` make together."""
    if isinstance(old, dict) and isinstance(new, dict):
        return old | {key: merge(old.get(key), value, key) for key, value in new.items() if value is not None}
    if isinstance(old, list) and isinstance(new, list):
        return old + new
    if isinstance(old, str) and isinstance(new, str):
        return old + new if name in JOINED else new or old
    return new
