"""Moderations: texts in, what is wrong with them out. https://platform.openai.com/docs/api-reference/moderations"""

from typing import Any

import msgspec

from penstock.apis.answers import error_inside, miscounted, not_an_answer, read_answer, usage_of
from penstock.apis.inputs import NO_INPUT, count_inputs, input_of, without_system
from penstock.models import Failure, Response


class Answer(msgspec.Struct, frozen=True):
    """The wanted fields of a body."""

    results: list[msgspec.Raw] | None = None
    model: str | None = None
    usage: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()


_DECODER = msgspec.json.Decoder(Answer)


class Moderations:
    """Flags and scores by category."""

    name = "moderations"
    path = "moderations"

    def encode(self, row: dict[str, Any], prompt: str | None, system: str | None) -> dict[str, Any]:
        """The prompt, or the row's own `input`: one text, or a list of texts or parts."""
        without_system(system)
        return {"input": input_of(row, prompt, ("input", "prompt"), NO_INPUT)}

    def decode(self, body: bytes, request: bytes = b"") -> Response | Failure:
        """The one result in `output`, a list of results for several inputs."""
        answer = read_answer(_DECODER, body)
        if isinstance(answer, Failure):
            return answer
        if failure := error_inside(answer.error, body):
            return failure
        results = answer.results
        if not results or not all(bytes(result).startswith(b"{") for result in results):
            return not_an_answer("The answer has no results.", body)
        if failure := miscounted(len(results), count_inputs(request), body):
            return failure
        return Response(
            body=body,
            model=answer.model or "",
            usage=usage_of(answer.usage),
            output=results[0] if len(results) == 1 else msgspec.Raw(msgspec.json.encode(results)),
        )
