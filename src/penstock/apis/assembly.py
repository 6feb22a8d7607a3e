"""What is made of a streamed answer: events go in, and the body that the answer would have had in one piece comes out.

So everything behind it (journal, outputs, `show`, `export`) knows nothing of streams, and one `decode` judges both.
"""

from collections.abc import Callable
from typing import Protocol

import msgspec

from penstock.apis.answers import read_answer
from penstock.apis.protocol import Api
from penstock.models import Failure, Fault, Outcome, Usage
from penstock.policy.error_words import excerpt_of
from penstock.policy.faults import classify_error

CUT = "stream_cut"
"""The code of a stream that ended, in good order, before the answer did."""
DONE = b"[DONE]"


class Assembler(Protocol):
    """One answer in the making."""

    pieces: int
    """Events so far that brought something of the answer: text, reasoning, a refusal, a tool call."""
    speaking: bool
    """Whether the next piece is due. It is not while the model thinks unheard, before the answer or within."""
    reasoned: bool
    """Whether its reasoning was among the pieces."""
    error: bytes | None
    """The data of an event that says that the answer has failed."""

    def take(self, name: str, data: bytes) -> bool:
        """The next event; whether it was the last."""
        ...

    def body(self) -> bytes | None:
        """The answer in its ordinary form, once its terminal event has come; until then None."""
        ...

    def begun(self) -> tuple[str, Usage]:
        """The beginning of the text that has come, and what was used so far as is known."""
        ...


class _Error(msgspec.Struct, frozen=True):
    error: msgspec.Raw = msgspec.Raw()
    response: msgspec.Raw = msgspec.Raw()


_ERROR = msgspec.json.Decoder(_Error)


def is_error(name: str, kind: str | None, error: msgspec.Raw) -> bool:
    """Whether an event says that the answer has failed: by its name, the type in its data, or an `error` there."""
    return name == "error" or kind == "error" or bytes(error) not in (b"", b"null")


def judge(
    api: Api, assembler: Assembler, request: bytes, cut: Failure | None, clean: Callable[[bytes], bytes]
) -> Outcome:
    """What a stream has come to. `cut` says how it broke off, None where it ended in good order.

    A complete answer is one whatever came after it, be it an error. In a failure the excerpt is the beginning of
    what had come, and `usage` what was used for it; `clean` takes credentials out of what is quoted.
    """
    body = assembler.body()
    outcome: Outcome = cut or Failure(Fault.AMBIGUOUS, "The stream ended before the answer did.", 200, CUT)
    if body is not None:
        outcome = api.decode(body, request)
    if assembler.error is not None and isinstance(outcome, Failure):
        body, outcome = None, _failed(clean(assembler.error))
    if not isinstance(outcome, Failure):
        return outcome
    if body is not None:
        decoded = api.decode(clean(body), request)
        outcome = decoded if isinstance(decoded, Failure) else outcome
    text, usage = assembler.begun()
    excerpt = excerpt_of(clean(text.encode("utf-8", "replace"))) or outcome.excerpt
    return msgspec.structs.replace(outcome, excerpt=excerpt, usage=usage if usage != Usage() else None)


def _failed(data: bytes) -> Failure:
    """What an error in place of the rest of the answer means: as an `error` in a body would."""
    event = read_answer(_ERROR, data)
    inner = b"" if isinstance(event, Failure) else bytes(event.error)
    try:
        error = msgspec.json.decode(inner if inner not in (b"", b"null") else data)
    except (ValueError, RecursionError):
        error = f"an event of the stream is no JSON: {data[:1_000].decode('utf-8', 'replace')}"
    return classify_error(error, 200, data)
