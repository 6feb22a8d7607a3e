"""Chat completions: what is sent, and what of the answer is kept."""

import json
from typing import Any

import msgspec
import pytest

from penstock.apis.chat_completions import ChatCompletions
from penstock.models import Failure, Fault, Response, Usage

CHAT = ChatCompletions()


def answer(message: object = None, finish_reason: object = "stop", **more: Any) -> bytes:
    """The body of an answer with one choice."""
    message = {"role": "assistant", "content": "Hello"} if message is None else message
    return json.dumps({"choices": [{"message": message, "finish_reason": finish_reason}], **more}).encode()


def response_of(body: bytes) -> Response:
    """The response that this body must be."""
    response = CHAT.decode(body)
    assert isinstance(response, Response), response
    return response


def failure_of(body: bytes) -> Failure:
    """The failure that this body must be."""
    failure = CHAT.decode(body)
    assert isinstance(failure, Failure), failure
    return failure


def test_a_prompt_is_the_users_message() -> None:
    """Without a system message there is one message."""
    assert CHAT.encode({}, "Hi", None) == {"messages": [{"role": "user", "content": "Hi"}]}


def test_a_system_message_comes_first() -> None:
    """The rendered system text stands before the prompt."""
    assert CHAT.encode({}, "Hi", "Be brief")["messages"][0] == {"role": "system", "content": "Be brief"}


def test_messages_of_the_row_win_over_the_prompt() -> None:
    """A row with `messages` is sent as it is."""
    messages = [{"role": "user", "content": "Mine"}]
    assert CHAT.encode({"messages": messages}, "Other", None) == {"messages": messages}


@pytest.mark.parametrize("role", ["system", "developer"])
def test_a_system_message_of_the_row_wins(role: str) -> None:
    """It is not doubled by the one that was given."""
    messages = [{"role": role, "content": "Mine"}, {"role": "user", "content": "Hi"}]
    assert CHAT.encode({"messages": messages}, None, "Other") == {"messages": messages}


def test_a_system_message_is_set_before_the_rows_messages() -> None:
    """And the row itself is not changed by it."""
    row = {"messages": [{"role": "user", "content": "Hi"}]}
    assert [message["role"] for message in CHAT.encode(row, None, "Be brief")["messages"]] == ["system", "user"]
    assert len(row["messages"]) == 1


@pytest.mark.parametrize("messages", ["Hi", [], ["Hi"], {"role": "user"}, 5])
def test_messages_must_be_messages(messages: object) -> None:
    """Anything else is refused before it is sent."""
    with pytest.raises(ValueError, match="not a list of messages"):
        CHAT.encode({"messages": messages}, "Hi", None)


def test_parts_are_sent_as_parts() -> None:
    """A prompt of the row may hold images."""
    parts = [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]
    assert CHAT.encode({"prompt": parts}, None, None)["messages"][0]["content"] == parts


@pytest.mark.parametrize(
    ("finish_reason", "partial"),
    [
        ("stop", None),
        ("STOP", None),
        ("tool_calls", None),
        ("function_call", None),
        ("eos", None),
        ("eos_token", None),
        ("end_turn", None),
        ("stop_sequence", None),
        ("length", "length"),
        ("max_tokens", "length"),
        ("content_filter", "content_filter"),
        ("sensitive", "content_filter"),
    ],
)
def test_the_finish_reason_says_whether_an_answer_is_whole(finish_reason: str, partial: str | None) -> None:
    """The provider's word is kept, and read as whole or as partial."""
    response = response_of(answer(finish_reason=finish_reason))
    assert (response.finish_reason, response.partial) == (finish_reason, partial)


@pytest.mark.parametrize("finish_reason", [None, "", "null", "error", "abort", "network_error"])
def test_an_answer_that_did_not_end_is_ambiguous(finish_reason: str | None) -> None:
    """It may have been billed, and nothing says that it is whole."""
    failure = failure_of(answer(finish_reason=finish_reason))
    assert (failure.fault, failure.code) == (Fault.AMBIGUOUS, "no_finish_reason")


def test_a_provider_without_resources_is_overloaded() -> None:
    """DeepSeek breaks answers off itself and says so."""
    assert failure_of(answer(finish_reason="insufficient_system_resource")).fault is Fault.OVERLOADED


def test_a_chunk_of_a_stream_is_not_an_answer() -> None:
    """It has a delta where the message should be."""
    failure = failure_of(b'{"choices": [{"delta": {"content": "Hel"}, "finish_reason": "stop"}]}')
    assert "without a message" in failure.message


def test_an_error_inside_a_choice_is_classified() -> None:
    """OpenRouter reports a model that failed half-way in the choice."""
    choice = {"message": {"content": "Hel"}, "finish_reason": "stop", "error": {"code": 502, "message": "cut"}}
    assert failure_of(json.dumps({"choices": [choice]}).encode()).message == "cut"


def test_a_refusal_is_partial_and_its_words_are_the_text() -> None:
    """The model's own refusal is an answer that stops short."""
    response = response_of(answer({"content": None, "refusal": "I cannot."}))
    assert (response.text, response.partial) == ("I cannot.", "refusal")


def test_tool_calls_are_kept_as_they_stand() -> None:
    """There is no text then, and the calls are the output."""
    response = response_of(answer({"content": None, "tool_calls": [{"id": "1", "n": 1.50}]}, "tool_calls"))
    assert response.text == ""
    assert response.output is not None
    assert msgspec.json.decode(response.output) == [{"id": "1", "n": 1.5}]


def test_no_tool_calls_are_no_output() -> None:
    """An empty list says that there are none."""
    assert response_of(answer({"content": "Hi", "tool_calls": []})).output is None


def test_parts_of_the_content_are_joined() -> None:
    """Parts without text, such as a model's thinking, are left out."""
    parts = [{"type": "thinking", "thinking": []}, {"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]
    assert response_of(answer({"content": parts})).text == "Hello"


def test_several_choices_are_all_kept() -> None:
    """The first is the text, all of them are the output."""
    choices = [{"message": {"content": text}, "finish_reason": "stop"} for text in "ab"]
    response = response_of(json.dumps({"choices": choices}).encode())
    assert response.text == "a"
    assert response.output == msgspec.Raw(b'["a","b"]')


def test_every_choice_must_have_ended() -> None:
    """One that did not spoils the answer."""
    choices = [{"message": {"content": "a"}, "finish_reason": reason} for reason in ("stop", None)]
    assert failure_of(json.dumps({"choices": choices}).encode()).code == "no_finish_reason"


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 9, "completion_tokens": 4}, Usage(9, 0, 4, 0)),
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 4,
                "prompt_tokens_details": {"cached_tokens": 8, "audio_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 3},
            },
            Usage(9, 8, 4, 3),
        ),
        ({"prompt_tokens": 9, "completion_tokens": 4, "prompt_cache_hit_tokens": 7}, Usage(9, 7, 4, 0)),
        ({"prompt_tokens": 9, "completion_tokens": None, "prompt_tokens_details": None}, Usage(9, 0, 0, 0)),
    ],
)
def test_tokens_are_counted_as_the_provider_does(usage: dict[str, Any], expected: Usage) -> None:
    """In OpenAI's spelling and in DeepSeek's."""
    assert response_of(answer(usage=usage)).usage == expected


def test_credentials_do_not_reach_the_excerpt() -> None:
    """A body that echoes the key is shown without it."""
    failure = failure_of(b"bad key sk-abcdefghijklmnop")
    assert failure.excerpt == "bad key [redacted]"
