"""A streamed call: what is made of it, and when its tokens came."""

import asyncio
import json
from typing import Any

import pytest

from penstock.apis.registry import APIS
from penstock.apis.streams import ASSEMBLERS
from penstock.endpoints import Endpoint, Key
from penstock.engine.caller import call
from penstock.engine.scope import Lane
from penstock.engine.streaming import Hearing
from penstock.models import Failure, Fault, HttpResponse, Outcome, Request, Response, Usage
from penstock.redaction import Secret
from penstock.transport.fake import FunctionTransport, respond

BODY = json.dumps({"model": "m", "messages": [], "stream": True}).encode()
USAGE = {"prompt_tokens": 5, "completion_tokens": 11, "completion_tokens_details": {"reasoning_tokens": 0}}


def chunk(content: str | None = None, finish_reason: str | None = None, **delta: Any) -> dict[str, Any]:
    """A chunk with a delta."""
    delta |= {} if content is None else {"content": content}
    return {"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]}


def stream(*chunks: dict[str, Any], done: bool = True) -> bytes:
    """The bytes of a stream."""
    events = [b"data: " + json.dumps(data).encode() + b"\n\n" for data in chunks]
    return b"".join([*events, b"data: [DONE]\n\n"] if done else events)


def outcome_of(answer: HttpResponse | Failure, model: str = "m") -> tuple[Outcome, list[Any]]:
    """What a streamed call comes to where this is answered, and what was sent."""
    sent: list[Any] = []

    def handle(path: str, body: bytes) -> HttpResponse | Failure:
        sent.append(json.loads(body))
        return answer

    key = Key(Secret("sk-very-secret-1"), "OPENAI_API_KEY")
    lane = Lane(Endpoint("e", "http://127.0.0.1/v1"), key, model, FunctionTransport(handle))
    request = Request("chat", "chat/completions", BODY, "m", stream=True)
    outcome, _ = asyncio.run(call(lane, request))
    return outcome, sent


def test_a_streamed_answer_is_a_response() -> None:
    """With its text, its tokens, and the time to its first token."""
    outcome, _ = outcome_of(respond(200, stream(chunk("Hel"), chunk("lo", "stop"), {"choices": [], "usage": USAGE})))
    assert isinstance(outcome, Response)
    assert (outcome.text, outcome.usage.output_tokens) == ("Hello", 11)
    assert outcome.ttft_ms is not None


def test_the_model_has_its_name_at_the_endpoint() -> None:
    """And the stream is asked for as the request says."""
    _, sent = outcome_of(respond(500), model="vendor/m")
    assert sent == [json.loads(BODY) | {"model": "vendor/m"}]


def test_an_answer_in_one_piece_is_taken() -> None:
    """From a provider that does not stream; when its first token came is not known."""
    whole = {"choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}], "usage": USAGE}
    outcome, _ = outcome_of(respond(200, json.dumps(whole).encode()))
    assert isinstance(outcome, Response)
    assert (outcome.text, outcome.ttft_ms, outcome.tokens_per_s) == ("Hello", None, None)


@pytest.mark.parametrize(
    ("answer", "fault", "words"),
    [
        (respond(429, b'{"error": {"message": "Slow"}}'), Fault.THROTTLED, "Slow"),
        (respond(200, b"<html><title>Login</title>"), Fault.AMBIGUOUS, "HTML page"),
        (respond(200, b'{"error": {"type": "overloaded_error"}}'), Fault.OVERLOADED, ""),
        (respond(200, b'{"choices": ['), Fault.AMBIGUOUS, "not complete JSON"),
        (respond(200, b""), Fault.AMBIGUOUS, "is empty"),
        (respond(200, b": keep-alive\n\n: keep-alive\n\n"), Fault.AMBIGUOUS, "ended before its first event"),
        (respond(200, stream(chunk("Once"), done=False)), Fault.AMBIGUOUS, "ended before the answer did"),
        (respond(200, stream(chunk("Once"))), Fault.AMBIGUOUS, "no finish reason"),
        (Failure(Fault.UNSENT, "refused"), Fault.UNSENT, "refused"),
    ],
)
def test_what_is_no_answer_is_a_failure(answer: HttpResponse | Failure, fault: Fault, words: str) -> None:
    """Each of its own class."""
    outcome, _ = outcome_of(answer)
    assert isinstance(outcome, Failure)
    assert outcome.fault is fault
    assert words in outcome.message


def test_a_field_that_is_not_known_there_can_be_left_out() -> None:
    """Some providers refuse the question for the counts of tokens: the message says what to do."""
    refusal = {"error": {"message": "Unknown parameter: 'stream_options'."}}
    outcome, _ = outcome_of(respond(400, json.dumps(refusal).encode()))
    assert isinstance(outcome, Failure)
    assert outcome.fault is Fault.REJECTED
    assert "Unknown parameter: 'stream_options'" in outcome.message
    assert "--param stream_options=false" in outcome.message


def test_no_credential_stands_in_a_failure() -> None:
    """Not in what was said before it broke off, either."""
    outcome, _ = outcome_of(respond(200, stream(chunk("the key is sk-very-secret-1"), done=False)))
    assert isinstance(outcome, Failure)
    assert outcome.excerpt == "the key is [redacted]"


def timed(*story: tuple[float, dict[str, Any]]) -> Outcome:
    """What these events come to, each at its time in seconds after the sending."""
    hearing = Hearing(ASSEMBLERS["chat"](BODY), 100.0)
    for at_s, data in story:
        hearing.hear("", json.dumps(data).encode(), 100.0 + at_s)
    return hearing.outcome(APIS["chat"], BODY, respond(200), lambda body: body)


def usage(output: int, reasoning: int = 0) -> dict[str, Any]:
    """A chunk with the counts of tokens."""
    return {"choices": [], "usage": USAGE | {"completion_tokens": output, **_details(reasoning)}}


def _details(reasoning: int) -> dict[str, Any]:
    return {"completion_tokens_details": {"reasoning_tokens": reasoning}}


END = chunk(None, "stop")


@pytest.mark.parametrize(
    ("story", "ttft_ms", "tokens_per_s"),
    [
        pytest.param([(0.5, chunk("a")), (2.5, chunk("b")), (3, END), (3, usage(11))], 500.0, 5.0, id="the usual"),
        pytest.param(
            [(0.1, chunk("", role="assistant")), (0.2, chunk()), (0.5, chunk("a")), (1.5, END), (9, usage(3))],
            500.0,
            None,
            id="a role and an empty text are no token; all in one piece has no rate",
        ),
        pytest.param(
            [(0.25, chunk(reasoning_content="Hm")), (1, chunk("a")), (2.25, chunk("b")), (3, END), (3, usage(21, 15))],
            250.0,
            10.0,
            id="shown reasoning counts",
        ),
        pytest.param(
            [(4, chunk("a")), (6, chunk("b")), (6, END), (6, usage(1_011, 1_000))], 4_000.0, 5.0, id="hidden does not"
        ),
        pytest.param(
            [(0.5, chunk("a")), (0.509, chunk("b")), (1, END), (1, usage(500))], 500.0, None, id="held back by a proxy"
        ),
        pytest.param([(0.5, chunk("a")), (1, chunk("b")), (1, END)], 500.0, None, id="no count of tokens"),
        pytest.param([(0.5, chunk("a")), (1, chunk("b")), (1, END), (1, usage(1))], 500.0, None, id="one token"),
        pytest.param(
            [(0.5, chunk(tool_calls=[{"index": 0, "id": "x"}])), (1, chunk(None, "tool_calls")), (1, usage(5))],
            500.0,
            None,
            id="a tool call is a token",
        ),
        pytest.param([(1, chunk(None, "stop")), (1, usage(1))], None, None, id="an answer without a word"),
    ],
)
def test_times(story: list[tuple[float, dict[str, Any]]], ttft_ms: float | None, tokens_per_s: float | None) -> None:
    """From sending to the first token; and the tokens behind it, by the time until the last."""
    outcome = timed(*story)
    assert isinstance(outcome, Response), outcome
    assert (outcome.ttft_ms, outcome.tokens_per_s) == (ttft_ms, tokens_per_s)


def test_a_stream_that_breaks_off_has_its_first_token_too() -> None:
    """And what is known to have been used."""
    outcome = timed((0.5, chunk("Once") | {"usage": USAGE}))
    assert isinstance(outcome, Failure)
    assert (outcome.ttft_ms, outcome.usage) == (500.0, Usage(input_tokens=5, output_tokens=11))
