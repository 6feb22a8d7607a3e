"""What a request may use, before it is sent: for the limits of tokens and for the budget."""

import msgspec

from penstock.models import Request
from penstock.tokens import estimate_tokens

USUAL_OUTPUT_TOKENS = 256
"""Expected of an answer whose length is not limited, before there is one; a budget takes the longest possible."""


class Estimate(msgspec.Struct, frozen=True):
    """Tokens of a request: about so many in, and at most so many out (None where it sets no limit).

    `answers` is how many it asks for at once.
    """

    input_tokens: int
    max_output_tokens: int | None
    answers: int = 1

    def tokens(self, usual_output_tokens: int = USUAL_OUTPUT_TOKENS) -> int:
        """About so many in and out, where an answer without a limit has so many."""
        output = usual_output_tokens * self.answers if self.max_output_tokens is None else self.max_output_tokens
        return self.input_tokens + output


class _Limits(msgspec.Struct):
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    max_output_tokens: int | None = None
    n: int | None = None


def estimate(request: Request) -> Estimate:
    """The estimate of a request, from its body."""
    input_tokens = estimate_tokens(request.body.decode("utf-8", "replace"))
    if request.api in ("embeddings", "moderations"):
        return Estimate(input_tokens, 0)
    return Estimate(input_tokens, *output_limit(request.body))


def output_limit(body: bytes) -> tuple[int | None, int]:
    """The most tokens that a body lets be written, None where it sets no limit; and how many answers it asks for."""
    try:
        limits = msgspec.json.decode(body, type=_Limits)
    except msgspec.ValidationError:  # the provider will say what it thinks of a limit that is no number
        limits = _Limits()
    output = limits.max_completion_tokens or limits.max_tokens or limits.max_output_tokens
    answers = max(1, limits.n or 1)
    return None if output is None else output * answers, answers
