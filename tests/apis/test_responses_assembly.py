"""Streams of the Responses API: the terminal event is the answer."""

import json
from typing import Any

import pytest

from penstock.apis.assembly import judge
from penstock.apis.responses import Responses
from penstock.apis.responses_assembly import ResponsesAssembler
from penstock.models import Failure, Fault, Outcome, Response, Usage

DONE = b"[DONE]"
Said = dict[str, Any] | bytes | tuple[str, dict[str, Any] | bytes]


def outcome_of(*events: Said, cut: Failure | None = None) -> Outcome:
    """What these events come to: each a chunk, its bytes, or a name and the data; `cut` is how they broke off."""
    assembler = ResponsesAssembler()
    for event in events:
        name, data = event if isinstance(event, tuple) else ("", event)
        if assembler.take(name, data if isinstance(data, bytes) else json.dumps(data).encode()):
            break
    return judge(Responses(), assembler, b"{}", cut, lambda body: body)


def response_of(*events: Said) -> Response:
    """The response that these events must be."""
    outcome = outcome_of(*events)
    assert isinstance(outcome, Response), outcome
    return outcome


def failure_of(*events: Said, cut: Failure | None = None) -> Failure:
    """The failure that these events must be."""
    outcome = outcome_of(*events, cut=cut)
    assert isinstance(outcome, Failure), outcome
    return outcome


ITEM = {"type": "message", "content": [{"type": "output_text", "text": "Hello"}]}
WHOLE: dict[str, Any] = {
    "id": "resp_1",
    "model": "m-1",
    "status": "completed",
    "error": None,
    "output": [ITEM],
    "usage": {"input_tokens": 5, "output_tokens": 2},
}


def event(kind: str, **fields: Any) -> tuple[str, dict[str, Any]]:
    """An event, named twice as the real ones are."""
    return kind, {"type": kind, "sequence_number": 1, **fields}


def story(*more: Said) -> list[Said]:
    """An answer that has begun, and what comes then."""
    return [
        event("response.created", response=WHOLE | {"status": "in_progress", "output": []}),
        event("response.output_item.added", output_index=0, item={"type": "message", "content": []}),
        event("response.output_text.delta", delta="Hel", output_index=0),
        event("response.output_text.delta", delta="lo", output_index=0),
        *more,
    ]


def test_the_terminal_event_holds_the_answer() -> None:
    """Byte for byte."""
    last = b'{"type": "response.completed", "response": ' + json.dumps(WHOLE).encode() + b"}"
    response = response_of(*story(("response.completed", last)))
    assert response.body == json.dumps(WHOLE).encode()
    assert (response.text, response.usage) == ("Hello", Usage(input_tokens=5, output_tokens=2))


@pytest.mark.parametrize("name", ["response.completed", ""])
@pytest.mark.parametrize("kind", ["response.completed", "response.done"])
def test_an_event_is_known_by_its_type(name: str, kind: str) -> None:
    """Some gateways leave the name away, or spell the end in another way."""
    data = {"type": kind, "response": WHOLE}
    assert response_of(*story((name, data), DONE)).text == "Hello"
    assert response_of(*story((kind, {"response": WHOLE}))).text == "Hello"


def test_an_incomplete_answer_is_partial() -> None:
    """It has come to an end, for a reason that is told."""
    whole = WHOLE | {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    response = response_of(*story(event("response.incomplete", response=whole)))
    assert (response.text, response.partial) == ("Hello", "length")


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        ({"code": "rate_limit_exceeded", "message": "Slow"}, Fault.THROTTLED),
        ({"code": "server_error", "message": "Sorry"}, Fault.OVERLOADED),
        (None, Fault.AMBIGUOUS),
    ],
)
def test_a_failed_answer_is_classified_by_its_error(error: object, fault: Fault) -> None:
    """And what it used counts."""
    whole = WHOLE | {"status": "failed", "error": error, "output": []}
    failure = failure_of(*story(event("response.failed", response=whole)))
    assert (failure.fault, failure.usage) == (fault, Usage(input_tokens=5, output_tokens=2))
    assert failure.excerpt == "Hello"


@pytest.mark.parametrize(
    "error",
    [
        event("error", code="rate_limit_exceeded", message="Slow", param=None),
        ("", {"type": "error", "code": "rate_limit_exceeded", "message": "Slow"}),
        ("error", {"error": {"code": "rate_limit_exceeded", "message": "Slow"}}),
        ("", {"error": {"code": "rate_limit_exceeded", "message": "Slow"}}),
    ],
)
def test_an_error_event_means_what_it_says(error: Said) -> None:
    """Whatever its form."""
    failure = failure_of(*story(error))
    assert (failure.fault, failure.code, failure.message) == (Fault.THROTTLED, "rate_limit_exceeded", "Slow")
    assert failure.excerpt == "Hello"


@pytest.mark.parametrize("more", [[], [DONE], [event("response.output_item.done", output_index=0, item=ITEM)]])
def test_without_its_terminal_event_it_is_no_answer(more: list[Said]) -> None:
    """However much has come."""
    failure = failure_of(*story(*more))
    assert (failure.fault, failure.code, failure.excerpt) == (Fault.AMBIGUOUS, "stream_cut", "Hello")


def test_how_it_broke_off_is_told() -> None:
    """The transport knows better than the events."""
    stalled = Failure(Fault.AMBIGUOUS, "came to a standstill", 200, "stalled")
    assert failure_of(*story(), cut=stalled).code == "stalled"


def test_output_that_is_left_out_at_the_end_is_taken_from_before() -> None:
    """In its order."""
    second = {"type": "function_call", "name": "f", "arguments": "{}"}
    response = response_of(
        *story(
            event("response.output_item.done", output_index=1, item=second),
            event("response.output_item.done", output_index=0, item=ITEM),
            event("response.completed", response=WHOLE | {"output": []}),
        ),
    )
    assert json.loads(response.body)["output"] == [ITEM, second]
    assert response.text == "Hello"


@pytest.mark.parametrize("data", [b"{", b"\xff", b'{"response": 1, "output_index": "x"}'])
def test_an_event_that_cannot_be_read_ends_it(data: bytes) -> None:
    """What follows could not be trusted."""
    failure = failure_of(*story(data, event("response.completed", response=WHOLE)))
    assert (failure.fault, failure.excerpt) == (Fault.AMBIGUOUS, "Hello")


@pytest.mark.parametrize("response", [1, "x", {"status": 1}, {"output": {}}, None])
def test_a_terminal_event_without_a_response_is_no_answer(response: object) -> None:
    """Its form is checked as that of any answer."""
    failure = failure_of(*story(event("response.completed", response=response)))
    assert failure.fault is Fault.AMBIGUOUS
