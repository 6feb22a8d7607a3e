"""Chat completions: messages in, one message out. https://platform.openai.com/docs/api-reference/chat"""

from typing import Any

import msgspec

from penstock.apis.answers import (
    FINISHES,
    NO_FINISH_REASON,
    ReportedUsage,
    error_inside,
    not_an_answer,
    read_answer,
    unfinished,
    usage_in,
    usage_of,
)
from penstock.apis.inputs import NO_PROMPT, input_of, messages_of
from penstock.models import Failure, Response

SYSTEM_ROLES = ("system", "developer")


class Part(msgspec.Struct, frozen=True):
    """A part of a message; only those of text count."""

    text: str | None = None


class Message(msgspec.Struct, frozen=True):
    """What the model says. Tool calls are kept as they stand."""

    content: str | list[Part] | None = None
    refusal: str | None = None
    tool_calls: msgspec.Raw = msgspec.Raw()
    function_call: msgspec.Raw = msgspec.Raw()


class Choice(msgspec.Struct, frozen=True):
    """One answer. OpenRouter puts an `error` here when the model fails half-way."""

    message: Message | None = None
    finish_reason: str | None = None
    error: msgspec.Raw = msgspec.Raw()


class Answer(msgspec.Struct, frozen=True):
    """The wanted fields of a body."""

    choices: list[Choice] | None = None
    model: str | None = None
    usage: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()


class PlainMessage(msgspec.Struct, frozen=True, gc=False):
    """A message of words alone."""

    content: str
    refusal: None = None
    tool_calls: None = None
    function_call: None = None


class PlainChoice(msgspec.Struct, frozen=True, gc=False):
    """An answer of words alone."""

    message: PlainMessage
    finish_reason: str
    error: None = None


class PlainAnswer(msgspec.Struct, frozen=True, gc=False):
    """A body as nearly all of them are. Its decoder refuses every other, which `Answer` is for."""

    choices: tuple[PlainChoice]
    usage: ReportedUsage
    model: str = ""
    error: None = None


_DECODER = msgspec.json.Decoder(Answer)
_decode_plain = msgspec.json.Decoder(PlainAnswer).decode


class ChatCompletions:
    """The API behind most rows."""

    name = "chat"
    path = "chat/completions"

    def encode(self, row: dict[str, Any], prompt: str | None, system: str | None) -> dict[str, Any]:
        """The row's own `messages`, or the prompt as the user's. A system message of the row's own wins."""
        messages = messages_of(row) or [{"role": "user", "content": input_of(row, prompt, ("prompt",), NO_PROMPT)}]
        if system is not None and messages[0].get("role") not in SYSTEM_ROLES:
            messages = [{"role": "system", "content": system}, *messages]
        return {"messages": messages}

    def decode(self, body: bytes, request: bytes = b"") -> Response | Failure:
        """The first choice's text, once every choice has come to its end. Several choices are all in `output`."""
        return _plain(body) or self._judged(body)

    def _judged(self, body: bytes) -> Response | Failure:
        answer = read_answer(_DECODER, body)
        if isinstance(answer, Failure):
            return answer
        if failure := error_inside(answer.error, body):
            return failure
        if not answer.choices:
            return not_an_answer("The answer has no choices.", body)
        for choice in answer.choices:
            if failure := error_inside(choice.error, body) or unfinished(choice.finish_reason, body):
                return failure
        messages = [choice.message for choice in answer.choices if choice.message is not None]
        if len(messages) < len(answer.choices):
            return not_an_answer("The answer has a choice without a message.", body)
        finish_reason = answer.choices[0].finish_reason or ""
        return Response(
            body=body,
            model=answer.model or "",
            usage=usage_of(answer.usage),
            text=text_of(messages[0]),
            finish_reason=finish_reason,
            output=_output(messages),
            partial="refusal" if messages[0].refusal else FINISHES[finish_reason.lower()],
        )


def _plain(body: bytes) -> Response | None:
    """The answer of a plain body, in a fraction of the time that the full reading takes; None for any other."""
    try:
        body.decode()
        answer = _decode_plain(body)
    except (ValueError, RecursionError):
        return None
    choice = answer.choices[0]
    partial = FINISHES.get(choice.finish_reason, NO_FINISH_REASON)
    if partial is NO_FINISH_REASON:
        return None
    text = choice.message.content
    return Response(body, answer.model, usage_in(answer.usage), text, choice.finish_reason, None, partial)


def text_of(message: Message) -> str:
    """The words of a message: its content, or the refusal in its place."""
    content = message.content
    if isinstance(content, list):
        content = "".join(part.text or "" for part in content)
    return content or message.refusal or ""


def _output(messages: list[Message]) -> msgspec.Raw | None:
    if len(messages) > 1:
        return msgspec.Raw(msgspec.json.encode([text_of(message) for message in messages]))
    calls = (messages[0].tool_calls, messages[0].function_call)
    return next((call for call in calls if bytes(call) not in (b"", b"null", b"[]")), None)
