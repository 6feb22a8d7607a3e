"""Every API that can stream its answer, by name, and how its stream is asked for and put together."""

from collections.abc import Callable
from typing import Any

import msgspec

from penstock.apis.assembly import Assembler
from penstock.apis.choices_assembly import ChoicesAssembler, chat_choice, text_choice
from penstock.apis.inputs import count_texts
from penstock.apis.responses_assembly import ResponsesAssembler

USAGE = {"include_usage": True}
"""Asks for a last chunk with the counts of tokens."""


class _Asked(msgspec.Struct, frozen=True):
    n: Any = None
    prompt: Any = None


_ASKED = msgspec.json.Decoder(_Asked)


def _chat(request: bytes) -> Assembler:
    return ChoicesAssembler("chat.completion", chat_choice, _count(_ASKED.decode(request).n))


def _completions(request: bytes) -> Assembler:
    asked = _ASKED.decode(request)
    return ChoicesAssembler("text_completion", text_choice, _count(asked.n) * (count_texts(asked.prompt) or 1))


def _responses(_request: bytes) -> Assembler:
    return ResponsesAssembler()


ASSEMBLERS: dict[str, Callable[[bytes], Assembler]] = {
    "chat": _chat,
    "completions": _completions,
    "responses": _responses,
}
"""Makes what puts the answer to a request together, by the name of its API."""


def stream_fields(api: str, body: dict[str, Any]) -> dict[str, Any]:
    """The body of a request whose answer is to be streamed.

    The counts of tokens are asked for as well, unless the body has `stream_options` false or null: some providers
    refuse that field, and then it is left out.
    """
    fields = body | {"stream": True}
    if api == "responses":  # it always tells, and refuses the question
        return fields
    if "stream_options" not in body:
        return fields | {"stream_options": USAGE}
    if not (own := body["stream_options"]):
        del fields["stream_options"]
    elif isinstance(own, dict):
        fields["stream_options"] = USAGE | own
    return fields


def _count(n: Any) -> int:
    return n if isinstance(n, int) and n > 1 else 1
