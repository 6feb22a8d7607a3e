"""What every API asks of a body before it is an answer: complete JSON, no error inside, an end that was reached.

Whatever falls short is a `Failure`, ambiguous unless the body says more: the call was served and may have been billed.
"""

from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from penstock.models import Failure, Fault, Usage
from penstock.policy.error_words import excerpt_of, is_html, one_line
from penstock.policy.faults import classify_error

T = TypeVar("T")

FINISHES: dict[str, str | None] = {
    "stop": None,
    "tool_calls": None,
    "function_call": None,
    "tool_use": None,
    "eos": None,
    "eos_token": None,
    "end_turn": None,
    "stop_sequence": None,
    "length": "length",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "content_filter": "content_filter",
    "sensitive": "content_filter",
    "refusal": "refusal",
}
"""Reasons for which a model ends an answer, as providers spell them, and what `Response.partial` then says."""

OVERLOADED_FINISHES = frozenset({"insufficient_system_resource"})
"""Reasons for which a provider breaks an answer off itself (DeepSeek)."""

NOT_AN_ANSWER = "not_an_answer"
NO_FINISH_REASON = "no_finish_reason"

Count = Annotated[int, Meta(ge=0)]


class Details(msgspec.Struct, frozen=True, gc=False):
    """Parts of a count of tokens."""

    cached_tokens: Count | None = None
    reasoning_tokens: Count | None = None


class ReportedUsage(msgspec.Struct, frozen=True, gc=False):
    """Token counts in the spellings of chat completions, of responses, and of DeepSeek."""

    prompt_tokens: Count | None = None
    input_tokens: Count | None = None
    completion_tokens: Count | None = None
    output_tokens: Count | None = None
    prompt_tokens_details: Details | None = None
    input_tokens_details: Details | None = None
    completion_tokens_details: Details | None = None
    output_tokens_details: Details | None = None
    prompt_cache_hit_tokens: Count | None = None


class _ErrorOnly(msgspec.Struct, frozen=True):
    error: msgspec.Raw = msgspec.Raw()


_USAGE = msgspec.json.Decoder(ReportedUsage)
_ERROR_ONLY = msgspec.json.Decoder(_ErrorOnly)
_NO_DETAILS = Details()


def read_answer(decoder: msgspec.json.Decoder[T], body: bytes) -> T | Failure:
    """The wanted fields of a body, or why it is no answer. Raises nothing."""
    try:
        body.decode()
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        return _error_of(body) or not_an_answer(f"The answer has another form than expected: {error}.", body)
    except (ValueError, RecursionError) as error:
        return not_an_answer(_unreadable(body, error), body)


def not_an_answer(message: str, body: bytes, code: str = NOT_AN_ANSWER) -> Failure:
    """The failure of a body that is no answer."""
    return Failure(Fault.AMBIGUOUS, one_line(message), 200, code, excerpt=excerpt_of(body) or None)


def miscounted(answers: int, inputs: int | None, body: bytes) -> Failure | None:
    """Why an answer does not fit what was asked; None where each input has its answer, or `inputs` is not known."""
    if inputs is None or answers == inputs:
        return None
    return not_an_answer(f"The answer is for {answers} of {inputs} inputs.", body)


def error_inside(error: msgspec.Raw, body: bytes) -> Failure | None:
    """What an `error` member means; None where it is absent or null."""
    raw = bytes(error)
    if raw in (b"", b"null"):
        return None
    return classify_error(decode_raw(error), 200, body)


def unfinished(finish_reason: str | None, body: bytes) -> Failure | None:
    """Why an answer with this finish reason is not complete; None where it is."""
    word = (finish_reason or "").lower()
    if word in FINISHES:
        return None
    if word in OVERLOADED_FINISHES:
        message = "The provider broke the answer off: it has not enough resources now."
        return Failure(Fault.OVERLOADED, message, 200, word, excerpt=excerpt_of(body))
    said = f"its finish reason is {finish_reason!r}" if word else "it has no finish reason"
    return not_an_answer(f"The answer is not complete: {said}.", body, NO_FINISH_REASON)


def usage_of(reported: msgspec.Raw) -> Usage:
    """Token counts; zeros where they cannot be read, since an answer is not thrown away for a bad count."""
    try:
        return usage_in(_USAGE.decode(reported)) if reported else Usage()
    except (ValueError, RecursionError):
        return Usage()


def usage_in(counts: ReportedUsage) -> Usage:
    """Token counts, whatever the provider calls them."""
    of_input = counts.prompt_tokens_details or counts.input_tokens_details or _NO_DETAILS
    of_output = counts.completion_tokens_details or counts.output_tokens_details or _NO_DETAILS
    return Usage(
        counts.prompt_tokens or counts.input_tokens or 0,
        of_input.cached_tokens or counts.prompt_cache_hit_tokens or 0,
        counts.completion_tokens or counts.output_tokens or 0,
        of_output.reasoning_tokens or 0,
    )


def decode_raw(raw: msgspec.Raw) -> Any:
    """A part of a body that was kept as it stood; its text where it is too odd to decode."""
    try:
        return msgspec.json.decode(raw)
    except (ValueError, RecursionError):
        return bytes(raw)[:1_000].decode("utf-8", "replace")


def _error_of(body: bytes) -> Failure | None:
    try:
        return error_inside(_ERROR_ONLY.decode(body).error, body)
    except (ValueError, RecursionError):
        return None


def _unreadable(body: bytes, error: Exception) -> str:
    if not body.strip():
        return "The answer is empty."
    if is_html(body):
        return "The answer is an HTML page, not JSON: is the base URL right? It usually ends in /v1."
    if body.lstrip().startswith(b":") and b"data:" not in body:
        return "The stream ended before its first event."
    if body.lstrip().startswith((b"data:", b"event:", b":")):
        return "The answer is a stream of events, not JSON: leave out `stream`."
    if body.lstrip().startswith((b"{", b"[")):
        return f"The answer is not complete JSON: {error}."
    return "The answer is text, not JSON."
