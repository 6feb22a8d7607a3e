"""Streams of the Responses API: the terminal event brings the whole response, as it would have come in one piece."""

from typing import Any

import msgspec

from penstock.apis.answers import usage_of
from penstock.apis.assembly import DONE, is_error
from penstock.models import Usage

TERMINAL = frozenset(
    {"response.completed", "response.incomplete", "response.failed", "response.cancelled", "response.done"}
)
"""Events behind which nothing follows; the last is how some gateways spell the first."""


class Event(msgspec.Struct, frozen=True):
    """The wanted fields of an event."""

    type: str | None = None
    delta: str | msgspec.UnsetType | Any = msgspec.UNSET
    item: msgspec.Raw = msgspec.Raw()
    output_index: int = 0
    response: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()


class Whole(msgspec.Struct, frozen=True):
    """Of the whole response, what may be missing."""

    output: list[msgspec.Raw] | None = None
    usage: msgspec.Raw = msgspec.Raw()


_EVENT = msgspec.json.Decoder(Event)
_WHOLE = msgspec.json.Decoder(Whole)
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])


class ResponsesAssembler:
    """Waits for the whole response, and remembers what was said on the way."""

    def __init__(self) -> None:
        self.pieces = 0
        self.speaking = False
        self.reasoned = False
        self.error: bytes | None = None
        self._words: list[str] = []
        self._items: dict[int, msgspec.Raw] = {}
        self._response = msgspec.Raw()

    def take(self, name: str, data: bytes) -> bool:
        """The next event; whether it was the last."""
        if not (data := data.strip()):
            return False
        if data == DONE:
            return True
        try:
            event = _EVENT.decode(data)
        except (ValueError, RecursionError):
            self.error = data
            return True
        kind = event.type or name
        if is_error(name, event.type, event.error):
            self.error = data
            return True
        if kind in TERMINAL:
            self._response = msgspec.Raw(bytes(event.response))
            return True
        if event.delta is not msgspec.UNSET:
            self._take_delta(kind, event.delta)
        elif kind.endswith(".done"):
            self.speaking = False
            if kind == "response.output_item.done":
                self._items[event.output_index] = msgspec.Raw(bytes(event.item))
        return False

    def body(self) -> bytes | None:
        """The response of the terminal event; its output from the events before, where it brings none itself."""
        raw = bytes(self._response)
        if not raw:
            return None
        try:
            if not self._items or _WHOLE.decode(raw).output:
                return raw
            items = [self._items[index] for index in sorted(self._items)]
            return msgspec.json.encode(_FIELDS.decode(raw) | {"output": items})
        except (ValueError, RecursionError):
            return raw

    def begun(self) -> tuple[str, Usage]:
        """What was said so far, and the usage of the terminal event."""
        try:
            usage = usage_of(_WHOLE.decode(self._response).usage) if self._response else Usage()
        except (ValueError, RecursionError):
            usage = Usage()
        return "".join(self._words), usage

    def _take_delta(self, kind: str, delta: Any) -> None:
        if not delta:
            return
        self.pieces += 1
        self.speaking = True
        if kind.startswith("response.reasoning"):
            self.reasoned = True
        elif isinstance(delta, str) and kind in ("response.output_text.delta", "response.refusal.delta"):
            self._words.append(delta)
