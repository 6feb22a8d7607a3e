"""A streamed call: the events are put together into one answer, and timed.

`ttft_ms` runs from sending, connecting included, to the first piece of the answer: its first text, reasoning, refusal
or tool call; a role or an empty text is none. `tokens_per_s` is (output tokens - 1) / (time of the last piece - time of
the first), where the provider counts them; tokens of reasoning that was not shown were made before the first piece, and
are left out. What comes within a hundredth of a second, or faster than ten thousand pieces a second, has no rate: a
proxy has held it back, and let it go at once.
"""

from collections.abc import Callable

import msgspec

from penstock.apis.assembly import Assembler, judge
from penstock.apis.protocol import Api
from penstock.models import Failure, Fault, HttpResponse, Outcome, Usage
from penstock.policy.error_words import MESSAGE_CHARS

Clean = Callable[[bytes], bytes]
"""Takes credentials out of what is quoted."""

SHORTEST_S, SHORTEST_PIECE_S = 0.01, 1e-4
ADVICE = "Is `stream_options` not known there? Leave it out with --param stream_options=false."


class Hearing:
    """Hears the events of one answer for its `assembler`; its request was sent at `sent_s`, on the monotonic clock."""

    def __init__(self, assembler: Assembler, sent_s: float) -> None:
        self.assembler = assembler
        self.heard = False
        """Whether there was any event."""
        self._sent_s = sent_s
        self._first_s: float | None = None
        self._last_s = 0.0

    @property
    def pieces(self) -> int:
        """Events that have brought something of the answer."""
        return self.assembler.pieces

    @property
    def speaking(self) -> bool:
        """Whether the next piece is due."""
        return self.assembler.speaking

    def hear(self, name: str, data: bytes, at_s: float) -> bool:
        """Take an event that came at `at_s`; whether it was the last."""
        before = self.assembler.pieces
        was_last = self.assembler.take(name, data)
        self.heard = True
        if self.assembler.pieces > before:
            self._last_s = at_s
            self._first_s = self._last_s if self._first_s is None else self._first_s
        return was_last

    def outcome(self, api: Api, request: bytes, answer: HttpResponse | Failure, clean: Clean) -> Outcome:
        """What the events have come to, with its times; `answer` is what the transport says of their end."""
        outcome = judge(api, self.assembler, request, answer if isinstance(answer, Failure) else None, clean)
        if self._first_s is None:
            return outcome
        ttft_ms = round((self._first_s - self._sent_s) * 1000, 1)
        if isinstance(outcome, Failure):
            return msgspec.structs.replace(outcome, ttft_ms=ttft_ms)
        return msgspec.structs.replace(outcome, ttft_ms=ttft_ms, tokens_per_s=self._rate(outcome.usage))

    def _rate(self, usage: Usage) -> float | None:
        spoken_s = self._last_s - (self._first_s or 0.0)
        unheard = 0 if self.assembler.reasoned else usage.reasoning_tokens
        tokens = usage.output_tokens - unheard - 1
        shortest_s = max(SHORTEST_S, SHORTEST_PIECE_S * self.assembler.pieces)
        return round(tokens / spoken_s, 2) if tokens > 0 and spoken_s >= shortest_s else None


def with_advice(outcome: Outcome) -> Outcome:
    """The outcome; where a provider refuses the field that asks for the counts of tokens, with what to do."""
    if (
        not isinstance(outcome, Failure)
        or outcome.fault is not Fault.REJECTED
        or "stream_options" not in outcome.message
    ):
        return outcome
    said = outcome.message[: MESSAGE_CHARS - len(ADVICE) - 2].rstrip(".")
    return msgspec.structs.replace(outcome, message=f"{said}. {ADVICE}")
