"""The shapes of complete answers, path by path."""

import base64
import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from penstock.simulator import BackgroundSimulator, SimulatorSettings, running

Send = Callable[..., Any]


@pytest.fixture(scope="module")
def sim() -> Iterator[BackgroundSimulator]:
    """One provider for the whole file: its answers depend on the requests alone."""
    with running(SimulatorSettings(output_tokens=20, reasoning_tokens=5)) as sim:
        yield sim


def test_a_chat_answer_has_the_shape_of_the_real_one(sim: BackgroundSimulator, chat: Send) -> None:
    """Every member that clients read is there."""
    answer = chat(sim, "hello").json()
    assert answer["object"] == "chat.completion"
    assert answer["id"].startswith("chatcmpl-")
    assert answer["created"] > 1_700_000_000
    assert answer["model"] == "sim"
    (choice,) = answer["choices"]
    assert choice["index"] == 0
    assert choice["finish_reason"] == "stop"
    assert choice["message"]["role"] == "assistant"
    assert choice["message"]["refusal"] is None


def test_usage_adds_up_and_has_its_details(sim: BackgroundSimulator, chat: Send) -> None:
    """Reasoning counts as output, and a short prompt is not cached."""
    usage = chat(sim, "hello").json()["usage"]
    assert usage == {
        "prompt_tokens": 4,
        "completion_tokens": 25,
        "total_tokens": 29,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 5},
    }


def test_a_long_prompt_is_partly_cached(sim: BackgroundSimulator, chat: Send) -> None:
    """From 1,024 tokens on, in steps of 128."""
    usage = chat(sim, "word" * 1200).json()["usage"]
    assert usage["prompt_tokens"] == 1203
    assert usage["prompt_tokens_details"]["cached_tokens"] == 1152


def test_the_answer_echoes_the_last_user_message(sim: BackgroundSimulator, send: Send) -> None:
    """So an answer can be told to belong to its task, whatever else the conversation holds."""
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "answer"},
        {"role": "user", "content": [{"type": "text", "text": "task №7"}]},
    ]
    answer = send(sim, "/v1/chat/completions", {"model": "sim", "messages": messages}).json()
    assert answer["choices"][0]["message"]["content"].startswith("You said: task №7\n")


def test_max_tokens_cuts_the_answer_short(sim: BackgroundSimulator, chat: Send) -> None:
    """With the finish reason that says so."""
    answer = chat(sim, "hello", max_completion_tokens=7).json()
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 7


def test_completions_answer_each_prompt(sim: BackgroundSimulator, send: Send) -> None:
    """A list of prompts gives a choice for each, in order."""
    answer = send(sim, "/v1/completions", {"model": "sim", "prompt": ["one", "two"]}).json()
    assert answer["object"] == "text_completion"
    assert [choice["index"] for choice in answer["choices"]] == [0, 1]
    assert "one" in answer["choices"][0]["text"]
    assert "two" in answer["choices"][1]["text"]
    assert answer["usage"]["completion_tokens"] == 50


def test_responses_answer_in_their_own_shape(sim: BackgroundSimulator, send: Send) -> None:
    """Output items, and usage under its other names."""
    answer = send(sim, "/v1/responses", {"model": "sim", "input": "hello"}).json()
    assert answer["object"] == "response"
    assert answer["status"] == "completed"
    assert "hello" in answer["output"][0]["content"][0]["text"]
    assert answer["usage"]["input_tokens"] == 4
    assert answer["usage"]["output_tokens_details"] == {"reasoning_tokens": 5}


def test_responses_read_a_conversation(sim: BackgroundSimulator, send: Send) -> None:
    """`input` may be a list of messages."""
    said = [{"role": "user", "content": [{"type": "input_text", "text": "hello"}]}]
    answer = send(sim, "/v1/responses", {"model": "sim", "input": said}).json()
    assert "hello" in answer["output"][0]["content"][0]["text"]


def test_responses_that_stop_short_are_incomplete(sim: BackgroundSimulator, send: Send) -> None:
    """With the reason in the words of that API."""
    answer = send(sim, "/v1/responses", {"model": "sim", "input": "hello", "max_output_tokens": 7}).json()
    assert answer["status"] == "incomplete"
    assert answer["incomplete_details"] == {"reason": "max_output_tokens"}


def test_embeddings_are_unit_vectors_that_depend_on_the_text(sim: BackgroundSimulator, send: Send) -> None:
    """One for each input, with as many dimensions as asked for."""
    body = {"model": "sim", "input": ["one", "two", "one"], "dimensions": 8}
    answer = send(sim, "/v1/embeddings", body).json()
    one, two, again = [item["embedding"] for item in answer["data"]]
    assert one == again != two
    assert sum(value * value for value in one) == pytest.approx(1)
    assert answer["usage"] == {"prompt_tokens": 5, "total_tokens": 5}


def test_embeddings_come_as_base64_where_asked(sim: BackgroundSimulator, send: Send) -> None:
    """The same numbers, as four-byte floats."""
    body = {"model": "sim", "input": "one", "dimensions": 4}
    plain = send(sim, "/v1/embeddings", body).json()["data"][0]["embedding"]
    coded = send(sim, "/v1/embeddings", {**body, "encoding_format": "base64"}).json()["data"][0]["embedding"]
    assert list(struct.unpack("<4f", base64.b64decode(coded))) == plain


def test_moderations_flag_a_category_by_its_name(sim: BackgroundSimulator, send: Send) -> None:
    """So a test can choose what is flagged."""
    answer = send(sim, "/v1/moderations", {"input": ["pure violence", "a flower"]}).json()
    first, second = answer["results"]
    assert first["flagged"] is True
    assert first["categories"]["violence"] is True
    assert second["flagged"] is False


def test_the_list_of_models_can_be_asked_for(sim: BackgroundSimulator, send: Send) -> None:
    """With one model where none is configured."""
    answer = send(sim, "/v1/models").json()
    assert [model["id"] for model in answer["data"]] == ["sim"]


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/chat/completions", b"{", None),
        ("/v1/chat/completions", b'{"messages": [{"role": "user", "content": "x"}]}', "model"),
        ("/v1/chat/completions", b'{"model": "sim"}', "messages"),
        ("/v1/completions", b'{"model": "sim"}', "prompt"),
        ("/v1/responses", b'{"model": "sim"}', "input"),
        ("/v1/embeddings", b'{"model": "sim", "input": []}', "input"),
        ("/v1/embeddings", b'{"model": "sim", "input": 7}', None),
    ],
)
def test_a_bad_request_is_refused(
    sim: BackgroundSimulator, send: Send, path: str, body: bytes, param: str | None
) -> None:
    """With the status, and where it is known the parameter, that the real API names."""
    answer = send(sim, path, body)
    assert answer.status == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert answer.json()["error"]["param"] == param
