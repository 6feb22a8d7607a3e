"""Responses: an input in, a list of items out. https://platform.openai.com/docs/api-reference/responses"""

from typing import Any

import msgspec

from penstock.apis.answers import NO_FINISH_REASON, error_inside, not_an_answer, read_answer, usage_of
from penstock.apis.inputs import NO_INPUT, input_of, messages_of
from penstock.models import Failure, Response
from penstock.policy.faults import classify_error

ENDED = ("completed", "incomplete")
PARTIALS = {"max_output_tokens": "length", "content_filter": "content_filter"}
"""Reasons why a response is incomplete, and what `Response.partial` then says."""


class Part(msgspec.Struct, frozen=True):
    """A part of a message."""

    type: str = ""
    text: str | None = None
    refusal: str | None = None


class Item(msgspec.Struct, frozen=True):
    """One item of the output: a message, a piece of reasoning, a tool call."""

    type: str = ""
    content: list[Part] | None = None


class IncompleteDetails(msgspec.Struct, frozen=True):
    """Why a response is incomplete."""

    reason: str | None = None


class Answer(msgspec.Struct, frozen=True):
    """The wanted fields of a body."""

    status: str | None = None
    output: list[Item] | None = None
    incomplete_details: IncompleteDetails | None = None
    model: str | None = None
    usage: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()


class RawOutput(msgspec.Struct, frozen=True):
    """The items of the output as they stand."""

    output: list[msgspec.Raw]


_DECODER = msgspec.json.Decoder(Answer)
_RAW_OUTPUT = msgspec.json.Decoder(RawOutput)


class Responses:
    """OpenAI's newer API of chat models."""

    name = "responses"
    path = "responses"

    def encode(self, row: dict[str, Any], prompt: str | None, system: str | None) -> dict[str, Any]:
        """The row's own `messages` or the prompt or its `input`; `system` as the instructions."""
        fields = {"input": messages_of(row) or input_of(row, prompt, ("input", "prompt"), NO_INPUT)}
        return fields if system is None else {**fields, "instructions": system}

    def decode(self, body: bytes, request: bytes = b"") -> Response | Failure:
        """All text of the output; tool calls, as they stand, in `output`."""
        answer = read_answer(_DECODER, body)
        if isinstance(answer, Failure):
            return answer
        if failure := _incomplete(answer, body):
            return failure
        items = answer.output or []
        parts = [part for item in items for part in item.content or ()]
        return Response(
            body=body,
            model=answer.model or "",
            usage=usage_of(answer.usage),
            text="".join(_words(part) for part in parts),
            finish_reason=_reason(answer),
            output=_calls(items, body),
            partial="refusal" if any(part.type == "refusal" for part in parts) else _partial(answer),
        )


def _incomplete(answer: Answer, body: bytes) -> Failure | None:
    if failure := error_inside(answer.error, body):
        return failure
    if answer.status == "failed":
        return classify_error("The response failed without saying why.", 200, body)
    if answer.status not in ENDED:
        said = f"its status is {answer.status!r}" if answer.status else "it has no status"
        return not_an_answer(f"The answer is not complete: {said}.", body, NO_FINISH_REASON)
    if answer.output is None or (answer.status == "completed" and not answer.output):
        return not_an_answer("The answer has no output.", body)
    return None


def _reason(answer: Answer) -> str | None:
    if answer.status == "incomplete" and answer.incomplete_details:
        return answer.incomplete_details.reason or answer.status
    return answer.status


def _partial(answer: Answer) -> str | None:
    return None if answer.status == "completed" else PARTIALS.get(_reason(answer) or "", "length")


def _words(part: Part) -> str:
    if part.type == "refusal":
        return part.refusal or ""
    return part.text or "" if part.type == "output_text" else ""


def _calls(items: list[Item], body: bytes) -> msgspec.Raw | None:
    if not any(item.type.endswith("_call") for item in items):
        return None
    pairs = zip(_RAW_OUTPUT.decode(body).output, items, strict=True)
    return msgspec.Raw(msgspec.json.encode([raw for raw, item in pairs if item.type.endswith("_call")]))
