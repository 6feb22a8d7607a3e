"""Streamed answers: the same answers as server-sent events, in the order in which the real API sends them.

Where the finish reason is `missing` a stream ends without a word of it, and without `[DONE]`; where it is `unsaid`
there is only `[DONE]`.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from penstock.simulator.answers import REFUSAL, Answer, head, responses_object, usage
from penstock.simulator.faults import InjectedFault
from penstock.simulator.questions import Question
from penstock.simulator.rejections import Rejection, usual_rejection

DONE = b"data: [DONE]\n\n"
KEEP_ALIVE = b": keep-alive\n\n"
_WORDS = re.compile(r"\S+\s*|\s+")


def encode_events(question: Question, answer: Answer) -> list[bytes]:
    """The events of a streamed answer. Those of the Responses API end without `[DONE]`, as the real ones do."""
    events = list(_STREAMED[question.api](question, answer))
    return events if answer.finish == "missing" or question.api == "responses" else [*events, DONE]


def disturb_events(events: list[bytes], question: Question, fault: InjectedFault) -> list[bytes]:
    """The events with the fault's comments before them, and their end or its error between them."""
    if fault.cut_after is not None:
        events = events[: fault.cut_after]
    if fault.error_after is not None:
        rejection = usual_rejection(500, fault.code, fault.message, fault.type)
        events = [*events[: fault.error_after], _error_event(question, rejection)]
    return [*[KEEP_ALIVE] * fault.keep_alives, *events]


def _error_event(question: Question, rejection: Rejection) -> bytes:
    """An error after the head was sent: each API has its own form for it."""
    if question.api != "responses":
        return encode_event(rejection.as_object())
    return encode_event({"type": "error", "code": rejection.code, "message": rejection.message}, "error")


def encode_event(data: Any, name: str | None = None) -> bytes:
    """One server-sent event."""
    line = b"data: " + msgspec.json.encode(data) + b"\n\n"
    return f"event: {name}\n".encode() + line if name else line


def _chat_events(question: Question, answer: Answer) -> Iterator[bytes]:
    chunk = head("chatcmpl-", "chat.completion.chunk", answer) | ({"usage": None} if question.include_usage else {})
    field = "refusal" if answer.finish == "refusal" else "content"
    for index, text in enumerate(answer.texts):
        choice = {"index": index, "logprobs": None, "finish_reason": None}
        yield encode_event(chunk | {"choices": [choice | {"delta": {"role": "assistant", field: ""}}]})
        for word in _WORDS.findall(REFUSAL if field == "refusal" else text):
            yield encode_event(chunk | {"choices": [choice | {"delta": {field: word}}]})
        if answer.finish_reason:
            yield encode_event(chunk | {"choices": [choice | {"delta": {}, "finish_reason": answer.finish_reason}]})
    if question.include_usage and answer.finish_reason:
        yield encode_event(chunk | {"choices": [], "usage": usage(answer)})


def _completions_events(question: Question, answer: Answer) -> Iterator[bytes]:
    chunk = head("cmpl-", "text_completion", answer) | ({"usage": None} if question.include_usage else {})
    for index, text in enumerate(answer.texts):
        choice = {"text": "", "index": index, "logprobs": None, "finish_reason": None}
        for word in _WORDS.findall(text):
            yield encode_event(chunk | {"choices": [choice | {"text": word}]})
        if answer.finish_reason:
            yield encode_event(chunk | {"choices": [choice | {"finish_reason": answer.finish_reason}]})
    if question.include_usage and answer.finish_reason:
        yield encode_event(chunk | {"choices": [], "usage": usage(answer)})


def _responses_events(question: Question, answer: Answer) -> Iterator[bytes]:
    whole = responses_object(question, answer)
    begun = whole | {"status": "in_progress", "incomplete_details": None, "output": [], "usage": None}
    for number, event in enumerate(_responses_story(whole, begun, answer)):
        yield encode_event(event | {"sequence_number": number}, event["type"])


def _responses_story(whole: dict[str, Any], begun: dict[str, Any], answer: Answer) -> Iterator[dict[str, Any]]:
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    for index, item in enumerate(whole["output"]):
        part = item["content"][0]
        field = "refusal" if part["type"] == "refusal" else "text"
        kind = f"response.{part['type']}"
        place = {"item_id": item["id"], "output_index": index, "content_index": 0}
        opened = item | {"status": "in_progress", "content": []}
        yield {"type": "response.output_item.added", "output_index": index, "item": opened}
        yield {"type": "response.content_part.added", "part": part | {field: ""}} | place
        for word in _WORDS.findall(part[field]):
            yield {"type": f"{kind}.delta", "delta": word} | place
        yield {"type": f"{kind}.done", field: part[field]} | place
        yield {"type": "response.content_part.done", "part": part} | place
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    if answer.finish_reason:
        yield {"type": f"response.{whole['status']}", "response": whole}


_STREAMED: dict[str, Callable[[Question, Answer], Iterator[bytes]]] = {
    "chat": _chat_events,
    "completions": _completions_events,
    "responses": _responses_events,
}
