"""Every API that streams: what is put together is what would have come in one piece, wherever it breaks off."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.apis.assembly import judge
from penstock.apis.registry import APIS
from penstock.apis.streams import ASSEMBLERS
from penstock.models import Failure, Fault, Outcome, Response
from penstock.simulator.answers import Answer, encode_answer
from penstock.simulator.questions import STREAMING, Question
from penstock.simulator.streams import encode_events
from penstock.transport.sse import EventParser

CUT = Failure(Fault.AMBIGUOUS, "reset", code="reset")
every_api = pytest.mark.parametrize("api", ASSEMBLERS)


def asked(api: str, answers: int = 1) -> Question:
    """A question for a stream, with the counts of tokens."""
    return Question(api, "m", ("x",) * answers, 5, None, stream=True, include_usage=True, dimensions=None, base64=False)


def answered(finish: str = "stop", *texts: str) -> Answer:
    """What the model came up with."""
    return Answer("1", 7, "m", texts or ("Hello, 流! ",), 5, 20, 3, finish)


def outcome_of(api: str, stream: bytes, request: dict[str, Any], cut: Failure | None) -> Outcome:
    """What these bytes come to."""
    body = json.dumps(request).encode()
    assembler = ASSEMBLERS[api](body)
    parser = EventParser(1_000_000)
    events = [*parser.feed(stream), *([] if cut else parser.end())]
    for name, data in events:
        if assembler.take(name, data):
            break
    return judge(APIS[api], assembler, body, cut, lambda quoted: quoted)


def test_what_the_simulator_streams_is_put_together() -> None:
    """The table here is complete."""
    assert tuple(ASSEMBLERS) == STREAMING


@every_api
@pytest.mark.parametrize("finish", ["stop", "length", "content_filter", "refusal"])
def test_a_stream_is_the_same_answer(api: str, finish: str) -> None:
    """In everything that is decoded of it, partial ones too."""
    question, answer = asked(api), answered(finish)
    streamed = outcome_of(api, b"".join(encode_events(question, answer)), {}, None)
    whole = APIS[api].decode(encode_answer(question, answer))
    assert isinstance(streamed, Response)
    assert isinstance(whole, Response)
    for name in ("text", "finish_reason", "partial", "usage", "model", "output"):
        if not (finish == "refusal" and api == "completions"):
            assert getattr(streamed, name) == getattr(whole, name), name


@every_api
@given(st.data())
def test_no_beginning_of_a_stream_is_an_answer(api: str, data: st.DataObject) -> None:
    """Cut at any byte it is a failure, until the event that says that the answer is complete has come."""
    stream = b"".join(encode_events(asked(api), answered()))
    terminal = b'"response.completed"' if api == "responses" else b'"finish_reason":"stop"'
    complete = stream.index(b"\n\n", stream.index(terminal)) + 2
    length = data.draw(st.integers(0, len(stream)))
    outcome = outcome_of(api, stream[:length], {}, CUT)
    if length >= complete:
        assert isinstance(outcome, Response)
        assert outcome.text == "Hello, 流! "
    else:
        assert isinstance(outcome, Failure)
        assert outcome.code == "reset"
        assert outcome.excerpt is None or "Hello, 流! ".startswith(outcome.excerpt)


@every_api
@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: f"data: {text}\n\n".encode()))
def test_nothing_that_comes_raises(api: str, stream: bytes) -> None:
    """Whatever is said in place of an answer is a failure."""
    assert isinstance(outcome_of(api, stream, {}, None), Failure)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=3),
    lambda values: (
        st.lists(values, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "choices",
                    "delta",
                    "index",
                    "content",
                    "tool_calls",
                    "id",
                    "type",
                    "error",
                    "usage",
                    "response",
                    "output",
                ]
            ),
            values,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@every_api
@given(st.lists(st.dictionaries(st.sampled_from(["choices", "usage", "type", "response", "delta"]), JSON), max_size=3))
def test_no_json_raises(api: str, chunks: list[dict[str, Any]]) -> None:
    """Of whatever shape the chunks are, the outcome is a value."""
    stream = b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks)
    assert isinstance(outcome_of(api, stream + b"data: [DONE]\n\n", {}, None), (Response, Failure))
