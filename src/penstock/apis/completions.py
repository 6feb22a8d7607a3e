"""Completions: a prompt in, its continuation out. https://platform.openai.com/docs/api-reference/completions"""

from typing import Any

import msgspec

from penstock.apis.answers import FINISHES, error_inside, not_an_answer, read_answer, unfinished, usage_of
from penstock.apis.inputs import NO_PROMPT, input_of, without_system
from penstock.models import Failure, Response


class Choice(msgspec.Struct, frozen=True):
    """One continuation."""

    text: str | None = None
    finish_reason: str | None = None
    error: msgspec.Raw = msgspec.Raw()


class Answer(msgspec.Struct, frozen=True):
    """The wanted fields of a body."""

    choices: list[Choice] | None = None
    model: str | None = None
    usage: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()


_DECODER = msgspec.json.Decoder(Answer)


class Completions:
    """The older API of base models."""

    name = "completions"
    path = "completions"

    def encode(self, row: dict[str, Any], prompt: str | None, system: str | None) -> dict[str, Any]:
        """The prompt, or the row's own `prompt`."""
        without_system(system)
        return {"prompt": input_of(row, prompt, ("prompt",), NO_PROMPT)}

    def decode(self, body: bytes, request: bytes = b"") -> Response | Failure:
        """The first choice's text, once every choice has come to its end. Several choices are all in `output`."""
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
        texts = [choice.text for choice in answer.choices if choice.text is not None]
        if len(texts) < len(answer.choices):
            return not_an_answer("The answer has a choice without text.", body)
        finish_reason = answer.choices[0].finish_reason or ""
        return Response(
            body=body,
            model=answer.model or "",
            usage=usage_of(answer.usage),
            text=texts[0],
            finish_reason=finish_reason,
            output=msgspec.Raw(msgspec.json.encode(texts)) if len(texts) > 1 else None,
            partial=FINISHES[finish_reason.lower()],
        )
