"""Streams of chat completions and of completions: chunks with deltas of choices, then the usage, then `[DONE]`.

The finish reasons are what tells that an answer has come to its end: once there is one for every choice that was asked
for, what is still missing is only the count of tokens. `[DONE]` alone proves nothing.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from penstock.apis.answers import usage_of
from penstock.apis.assembly import DONE, is_error
from penstock.apis.deltas import REASONING, Message, merge
from penstock.models import Usage

_NOTHING = frozenset({b"", b"null", b'""', b"{}", b"[]", b"0"})
_LEFT_OUT = frozenset({"choices", "usage", "object", "error", "obfuscation"})


class ChunkChoice(msgspec.Struct, frozen=True):
    """What a chunk brings to a choice. Moonshot puts the usage here."""

    index: int = 0
    delta: dict[str, Any] | None = None
    text: str | None = None
    finish_reason: str | None = None
    logprobs: Any = None
    usage: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()


class Chunk(msgspec.Struct, frozen=True):
    """The wanted fields of an event."""

    choices: list[ChunkChoice] | None = None
    usage: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()
    object: str | None = None


_CHUNK = msgspec.json.Decoder(Chunk)
_ENVELOPE = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Choice:
    """A choice in the making."""

    __slots__ = ("error", "finish_reason", "logprobs", "message")

    def __init__(self) -> None:
        self.message = Message()
        self.finish_reason: str | None = None
        self.logprobs: Any = None
        self.error: msgspec.Raw | None = None


Form = Callable[[int, Choice], dict[str, Any]]


class ChoicesAssembler:
    """Makes an answer of the `kind` that stands in its `object`. `expected` is how many choices were asked for."""

    def __init__(self, kind: str, form: Form, expected: int) -> None:
        self.pieces = 0
        self.speaking = False
        self.reasoned = False
        self.error: bytes | None = None
        self._kind = kind
        self._form = form
        self._expected = expected
        self._choices: dict[int, Choice] = {}
        self._envelope: dict[str, msgspec.Raw] = {}
        self._usage = msgspec.Raw()
        self._is_done = False

    def take(self, name: str, data: bytes) -> bool:
        """The next event; whether it was the last."""
        if data[:1] != b"{" and not (data := data.strip()):
            return False
        if data == DONE:
            self._is_done = True
            return True
        try:
            chunk = _CHUNK.decode(data)
        except (ValueError, RecursionError):
            self.error = data
            return True
        if is_error(name, chunk.object, chunk.error):
            self.error = data
            return True
        if chunk.choices:
            self._take_choices(chunk.choices)
        if bytes(chunk.usage) not in _NOTHING:
            self._usage = chunk.usage
            self._note_envelope(data)
        elif "id" not in self._envelope or not self._choices:
            self._note_envelope(data)
        return False

    def body(self) -> bytes | None:
        """The answer, once `[DONE]` or every finish reason has come."""
        finished = sum(choice.finish_reason is not None for choice in self._choices.values())
        if not self._is_done and finished < max(self._expected, len(self._choices)):
            return None
        first = ("id", "created", "model")
        envelope = self._envelope
        fields: dict[str, Any] = {name: envelope[name] for name in first if name in envelope}
        fields |= {"object": self._kind, "choices": [self._form(*item) for item in sorted(self._choices.items())]}
        if self._usage:
            fields["usage"] = self._usage
        return msgspec.json.encode(fields | {name: raw for name, raw in envelope.items() if name not in first})

    def begun(self) -> tuple[str, Usage]:
        """The beginning of the first choice, and the last usage that was told."""
        first = self._choices[min(self._choices)].message.text() if self._choices else ""
        return first, usage_of(self._usage)

    def _take_choices(self, changes: list[ChunkChoice]) -> None:
        for change in changes:
            if (choice := self._choices.get(change.index)) is None:
                choice = self._choices[change.index] = Choice()
            delta = change.delta or ({} if change.text is None else {"text": change.text})
            if delta and choice.message.take(delta):
                self.pieces += 1
                self.speaking = True
                self.reasoned = self.reasoned or any(delta.get(name) for name in REASONING)
            choice.finish_reason = change.finish_reason or choice.finish_reason
            if change.logprobs is not None:
                choice.logprobs = merge(choice.logprobs, change.logprobs)
            if bytes(change.error) not in _NOTHING:
                choice.error = change.error
            if bytes(change.usage) not in _NOTHING:
                self._usage = change.usage

    def _note_envelope(self, data: bytes) -> None:
        """What stands around the choices; the first value of each field that is one."""
        for name, raw in _ENVELOPE.decode(data).items():
            if name not in self._envelope and name not in _LEFT_OUT and bytes(raw) not in _NOTHING:
                self._envelope[name] = msgspec.Raw(bytes(raw))


def chat_choice(index: int, choice: Choice) -> dict[str, Any]:
    """A choice of a chat completion."""
    return {"index": index, "message": choice.message.fields(), **_rest(choice)}


def text_choice(index: int, choice: Choice) -> dict[str, Any]:
    """A choice of a completion."""
    return {"text": choice.message.text(), "index": index, **_rest(choice)}


def _rest(choice: Choice) -> dict[str, Any]:
    fields = {"logprobs": choice.logprobs, "finish_reason": choice.finish_reason}
    return fields if choice.error is None else fields | {"error": choice.error}
