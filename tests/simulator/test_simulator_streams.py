"""Streamed answers."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from penstock.simulator import BackgroundSimulator, SimulatorSettings, running

Send = Callable[..., Any]


@pytest.fixture(scope="module")
def sim() -> Iterator[BackgroundSimulator]:
    """One provider for the whole file."""
    with running(SimulatorSettings(output_tokens=20)) as sim:
        yield sim


def test_a_streamed_chat_adds_up_to_the_complete_answer(sim: BackgroundSimulator, chat: Send) -> None:
    """Role first, words next, finish reason after them, `[DONE]` at the end."""
    answer = chat(sim, "hello", stream=True)
    assert answer.headers["content-type"].startswith("text/event-stream")
    *chunks, done = answer.events()
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    whole = chat(sim, "hello").json()["choices"][0]["message"]["content"]
    assert deltas[0]["role"] == "assistant"
    assert "".join(delta.get("content", "") for delta in deltas) == whole
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[-2:]] == [None, "stop"]
    assert done == "[DONE]"


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hello"}]}),
        ("/v1/completions", {"prompt": "hello"}),
    ],
)
def test_usage_comes_last_where_it_is_asked_for(
    sim: BackgroundSimulator, send: Send, path: str, asked: dict[str, Any]
) -> None:
    """In a chunk without choices; the others say `null`."""
    body = {"model": "sim", **asked, "stream": True, "stream_options": {"include_usage": True}}
    *chunks, last, done = send(sim, path, body).events()
    assert last["choices"] == []
    assert last["usage"]["total_tokens"] == 24
    assert {chunk["usage"] for chunk in chunks} == {None}
    assert done == "[DONE]"


def test_a_streamed_completion_adds_up_to_the_complete_answer(sim: BackgroundSimulator, send: Send) -> None:
    """Piece by piece."""
    body = {"model": "sim", "prompt": "hello"}
    *chunks, _ = send(sim, "/v1/completions", body | {"stream": True}).events()
    whole = send(sim, "/v1/completions", body).json()["choices"][0]["text"]
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == whole


def test_a_streamed_response_tells_its_story_in_order(sim: BackgroundSimulator, send: Send) -> None:
    """From created to completed, numbered, with the whole response at the end."""
    events = send(sim, "/v1/responses", {"model": "sim", "input": "hello", "stream": True}).events()
    kinds = [event["type"] for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    said = "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
    assert said == events[-1]["response"]["output"][0]["content"][0]["text"]


def test_a_stream_takes_its_time_from_piece_to_piece(chat: Send) -> None:
    """The latency is spread over the pieces, and nothing is lost by it."""
    with running(SimulatorSettings(output_tokens=20, latency_ms=40)) as slow:
        assert chat(slow, "hello", stream=True).events()[-1] == "[DONE]"


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_a_stream_can_end_with_another_finish_reason(sim: BackgroundSimulator, chat: Send, reason: str) -> None:
    """As a complete answer can."""
    *_, last, _ = chat(sim, f"[[fault:finish={reason}]]", stream=True).events()
    assert last["choices"][0]["finish_reason"] == reason


def test_a_stream_can_end_without_a_word(sim: BackgroundSimulator, chat: Send) -> None:
    """Neither finish reason nor `[DONE]`, though the response itself is complete HTTP."""
    *_, last = chat(sim, "[[fault:finish=missing]]", stream=True).events()
    assert last["choices"][0]["finish_reason"] is None


def test_a_stream_can_bring_an_error(sim: BackgroundSimulator, chat: Send) -> None:
    """An event that is an error object, after status 200."""
    answer = chat(sim, "[[fault:body=error,code=overloaded]]", stream=True)
    assert answer.status == 200
    assert answer.events()[0]["error"]["code"] == "overloaded"


def test_a_stream_can_hold_no_event_at_all(sim: BackgroundSimulator, chat: Send) -> None:
    """An empty body."""
    assert chat(sim, "[[fault:body=empty]]", stream=True).body == b""


def test_a_stream_can_break_off_in_the_middle_of_an_event(sim: BackgroundSimulator, chat: Send) -> None:
    """The last event is not JSON."""
    assert chat(sim, "[[fault:body=bad_json]]", stream=True).body.endswith(b'data: {"id": \n\n')


def test_a_stream_can_be_oversized(sim: BackgroundSimulator, chat: Send) -> None:
    """By a huge comment before the events."""
    answer = chat(sim, "[[fault:body=oversized,mb=1]]", stream=True)
    assert len(answer.body) > 1024 * 1024
    assert answer.events()[-1] == "[DONE]"


def test_a_stream_may_be_cut(sim: BackgroundSimulator, chat: Send) -> None:
    """In good order, after so many events."""
    answer = chat(sim, "hello [[fault:cut_after=2]]", stream=True)
    assert [event["choices"][0]["finish_reason"] for event in answer.events()] == [None, None]


def test_an_error_may_come_after_some_words(sim: BackgroundSimulator, chat: Send, send: Send) -> None:
    """In the form of each API, and nothing follows."""
    script = "hello [[fault:error_after=2,code=overloaded,message=Busy]]"
    *_, last = chat(sim, script, stream=True).events()
    assert (last["error"]["code"], last["error"]["message"]) == ("overloaded", "Busy")
    body = {"model": "sim", "input": script, "stream": True}
    *_, last = send(sim, "/v1/responses", body).events()
    assert last == {"type": "error", "code": "overloaded", "message": "Busy"}


def test_comments_may_come_first(sim: BackgroundSimulator, chat: Send) -> None:
    """As while an answer waits in a queue."""
    answer = chat(sim, "hello [[fault:keep_alives=3]]", stream=True)
    assert answer.body.startswith(b": keep-alive\n\n" * 3 + b"data: ")


def test_the_end_may_come_without_a_reason(sim: BackgroundSimulator, chat: Send, send: Send) -> None:
    """`[DONE]` is there, a finish reason is not; a response has no terminal event."""
    *chunks, done = chat(sim, "hello [[fault:finish=unsaid]]", stream=True).events()
    assert done == "[DONE]"
    assert {chunk["choices"][0]["finish_reason"] for chunk in chunks} == {None}
    body = {"model": "sim", "input": "hello [[fault:finish=unsaid]]", "stream": True}
    assert send(sim, "/v1/responses", body).events()[-1]["type"] == "response.output_item.done"


def test_the_answer_may_come_in_one_piece(sim: BackgroundSimulator, chat: Send) -> None:
    """From a provider that does not stream."""
    answer = chat(sim, "hello [[fault:body=whole]]", stream=True)
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["choices"][0]["finish_reason"] == "stop"
