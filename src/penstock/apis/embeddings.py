"""Embeddings: texts in, vectors out. https://platform.openai.com/docs/api-reference/embeddings"""

from typing import Any

import msgspec

from penstock.apis.answers import error_inside, miscounted, not_an_answer, read_answer, usage_of
from penstock.apis.inputs import NO_INPUT, count_inputs, input_of, without_system
from penstock.models import Failure, Response


class Item(msgspec.Struct, frozen=True):
    """One vector, as it stands: a list of numbers, or base64 text."""

    embedding: msgspec.Raw
    index: int | None = None


class Answer(msgspec.Struct, frozen=True):
    """The wanted fields of a body."""

    data: list[Item] | None = None
    model: str | None = None
    usage: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()


_DECODER = msgspec.json.Decoder(Answer)
_VECTOR = msgspec.json.Decoder(list[float] | str)


class Embeddings:
    """Vectors for search and clustering."""

    name = "embeddings"
    path = "embeddings"

    def encode(self, row: dict[str, Any], prompt: str | None, system: str | None) -> dict[str, Any]:
        """The prompt, or the row's own `input`: one text or a list."""
        without_system(system)
        return {"input": input_of(row, prompt, ("input", "prompt"), NO_INPUT)}

    def decode(self, body: bytes, request: bytes = b"") -> Response | Failure:
        """The vector of one input in `output`, a list of vectors in input order for several."""
        answer = read_answer(_DECODER, body)
        if isinstance(answer, Failure):
            return answer
        if failure := error_inside(answer.error, body):
            return failure
        if not answer.data:
            return not_an_answer("The answer has no vectors.", body)
        if not all(_is_vector(item.embedding) for item in answer.data):
            return not_an_answer("The answer has a vector that is not one.", body)
        if (vectors := _in_order(answer.data)) is None:
            return not_an_answer("The answer lacks some of the vectors.", body)
        if failure := miscounted(len(vectors), count_inputs(request), body):
            return failure
        return Response(
            body=body,
            model=answer.model or "",
            usage=usage_of(answer.usage),
            output=vectors[0] if len(vectors) == 1 else msgspec.Raw(msgspec.json.encode(vectors)),
        )


def _is_vector(raw: msgspec.Raw) -> bool:
    try:
        return bool(_VECTOR.decode(raw))
    except (ValueError, RecursionError):
        return False


def _in_order(items: list[Item]) -> list[msgspec.Raw] | None:
    """The vectors by index, None where the indexes do not count from 0 without a gap."""
    numbered = {item.index: item.embedding for item in items}
    if set(numbered) == {None}:
        return [item.embedding for item in items]
    if set(numbered) != set(range(len(items))):
        return None
    return [numbered[index] for index in range(len(items))]
