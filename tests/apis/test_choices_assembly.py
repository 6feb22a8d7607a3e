"""Streams of chat completions and completions: what is put together, and what is no answer."""

import json
from typing import Any

import pytest

from penstock.apis.assembly import judge
from penstock.apis.registry import APIS
from penstock.apis.streams import ASSEMBLERS
from penstock.models import Failure, Fault, Outcome, Response, Usage

DONE = b"[DONE]"
Said = dict[str, Any] | bytes | tuple[str, dict[str, Any] | bytes]


def outcome_of(api: str, *events: Said, cut: Failure | None = None, **asked: Any) -> Outcome:
    """What these events come to: each a chunk, its bytes, or a name and the data; `cut` is how they broke off."""
    request = json.dumps(asked).encode()
    assembler = ASSEMBLERS[api](request)
    for event in events:
        name, data = event if isinstance(event, tuple) else ("", event)
        if assembler.take(name, data if isinstance(data, bytes) else json.dumps(data).encode()):
            break
    return judge(APIS[api], assembler, request, cut, lambda body: body.replace(b"sk-secret", b"[redacted]"))


def response_of(api: str, *events: Said, **asked: Any) -> Response:
    """The response that these events must be."""
    outcome = outcome_of(api, *events, **asked)
    assert isinstance(outcome, Response), outcome
    return outcome


def failure_of(api: str, *events: Said, cut: Failure | None = None, **asked: Any) -> Failure:
    """The failure that these events must be."""
    outcome = outcome_of(api, *events, cut=cut, **asked)
    assert isinstance(outcome, Failure), outcome
    return outcome


USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
COUNTED = Usage(input_tokens=5, output_tokens=2)


def chunk(
    delta: dict[str, Any] | None = None, finish_reason: str | None = None, index: int = 0, **more: Any
) -> dict[str, Any]:
    """A chunk of a chat completion."""
    choice = {"index": index, "delta": {} if delta is None else delta, "finish_reason": finish_reason}
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 7, "model": "m-1"}
    return head | {"choices": [choice]} | more


def words(*texts: str) -> list[Said]:
    """Chunks with the role and then these texts."""
    return [chunk({"role": "assistant", "content": ""}), *(chunk({"content": text}) for text in texts)]


STOP = chunk(finish_reason="stop")
COUNT = {"id": "chatcmpl-1", "choices": [], "usage": USAGE}


def test_an_answer_has_its_ordinary_form() -> None:
    """The body is what would have come in one piece: nothing behind it knows of streams."""
    chunks = words("He", "llo 流")
    response = response_of("chat", *chunks, STOP | {"system_fingerprint": "fp", "service_tier": "x"}, COUNT, DONE)
    assert (response.text, response.finish_reason, response.model) == ("Hello 流", "stop", "m-1")
    assert response.usage == COUNTED
    assert json.loads(response.body) == {
        "id": "chatcmpl-1",
        "created": 7,
        "model": "m-1",
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello 流"},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": USAGE,
    }


def test_what_stands_around_the_choices_is_kept() -> None:
    """The first value that is one: Azure begins with an empty chunk, others add to the last."""
    empty = {"id": "", "model": "", "created": 0, "choices": [], "prompt_filter_results": [{"a": 1}]}
    first = chunk({"content": "x"}, system_fingerprint="fp_1")
    last = COUNT | {"provider": "P", "model": "other"}
    body = json.loads(response_of("chat", empty, first, STOP, last, DONE).body)
    assert (body["id"], body["model"], body["created"]) == ("chatcmpl-1", "m-1", 7)
    assert (body["system_fingerprint"], body["provider"], body["prompt_filter_results"]) == ("fp_1", "P", [{"a": 1}])


def message_of(*chunks: Said) -> dict[str, Any]:
    """The message that these chunks make."""
    body = json.loads(response_of("chat", *chunks, DONE).body)
    message: dict[str, Any] = body["choices"][0]["message"]
    return message


def test_tool_calls_are_put_together_by_index() -> None:
    """Pieces of two calls in turn; what is repeated is not doubled."""

    def part(index: int, arguments: str, **more: Any) -> dict[str, Any]:
        function = {"arguments": arguments, **({"name": more.pop("name")} if "name" in more else {})}
        return {"index": index, "function": function, **more}

    message = message_of(
        chunk({"role": "assistant", "content": None}),
        chunk({"tool_calls": [part(0, "", id="a", type="function", name="add")]}),
        chunk({"tool_calls": [part(1, '{"x"', id="b", type="function", name="sub")]}),
        chunk({"tool_calls": [part(0, '{"n":'), part(1, ": 1}", id="b", name="sub")]}),
        chunk({"tool_calls": [part(0, " 2}", id="", type="function")]}),
        chunk(finish_reason="tool_calls"),
    )
    assert message["content"] is None
    assert message["tool_calls"] == [
        {"function": {"arguments": '{"n": 2}', "name": "add"}, "id": "a", "type": "function"},
        {"function": {"arguments": '{"x": 1}', "name": "sub"}, "id": "b", "type": "function"},
    ]


@pytest.mark.parametrize("indexes", [(0, 0), (None, None), (0, None)])
def test_whole_tool_calls_are_told_apart_by_their_ids(indexes: tuple[int | None, int | None]) -> None:
    """Some providers number every call 0, or none."""
    calls = [
        {"index": index, "id": name, "function": {"name": name, "arguments": "{}"}}
        for index, name in zip(indexes, "ab", strict=True)
    ]
    message = message_of(
        *(chunk({"tool_calls": [call]}) for call in calls),
        chunk(finish_reason="tool_calls"),
    )
    assert [call["id"] for call in message["tool_calls"]] == ["a", "b"]


def test_the_calls_of_an_answer_are_its_output() -> None:
    """As of an answer in one piece."""
    call = {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    response = response_of("chat", chunk({"tool_calls": [call]}), chunk(finish_reason="tool_calls"), DONE)
    assert response.output is not None
    assert json.loads(bytes(response.output))[0]["function"] == {"name": "f", "arguments": "{}"}


def test_an_older_function_call_is_put_together() -> None:
    """Name once, arguments in pieces."""
    message = message_of(
        chunk({"function_call": {"name": "f", "arguments": ""}}),
        chunk({"function_call": {"arguments": '{"a"'}}),
        chunk({"function_call": {"arguments": ":1}"}}, "function_call"),
    )
    assert message["function_call"] == {"name": "f", "arguments": '{"a":1}'}
    assert message["content"] is None


def test_reasoning_and_whatever_else_comes_is_kept() -> None:
    """Text is joined, lists grow, objects are merged, a repeated role stays one."""
    message = message_of(
        chunk({"role": "assistant", "reasoning_content": "Hm", "annotations": [1]}),
        chunk({"role": "assistant", "reasoning_content": ", well", "content": None}),
        chunk({"role": "assistant", "content": "Yes", "annotations": [2], "audio": {"id": "x", "data": "aa"}}),
        chunk({"audio": {"data": "bb", "expires_at": 3}}),
        STOP,
    )
    assert message == {
        "role": "assistant",
        "content": "Yes",
        "reasoning_content": "Hm, well",
        "annotations": [1, 2],
        "audio": {"id": "x", "data": "aabb", "expires_at": 3},
    }


def test_content_in_parts_is_kept_in_parts() -> None:
    """Mistral's reasoning models think in parts and then speak in text."""
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}
    response = response_of("chat", chunk({"content": [thought]}), chunk({"content": "Yes"}), STOP, DONE)
    content = json.loads(response.body)["choices"][0]["message"]["content"]
    assert content == [thought, {"type": "text", "text": "Yes"}]
    assert response.text == "Yes"


def test_a_refusal_is_partial() -> None:
    """As in an answer in one piece."""
    response = response_of("chat", chunk({"refusal": "I "}), chunk({"refusal": "won't"}), STOP, DONE)
    assert (response.text, response.partial) == ("I won't", "refusal")


def test_several_choices_are_all_put_together() -> None:
    """Their pieces come in any order."""
    response = response_of(
        "chat",
        chunk({"content": "b"}, index=1),
        chunk({"content": "a"}),
        chunk({"content": "B"}, "stop", index=1),
        chunk({"content": "A"}, "length"),
        DONE,
        n=2,
    )
    assert (response.text, response.partial) == ("aA", "length")
    assert response.output is not None
    assert json.loads(bytes(response.output)) == ["aA", "bB"]


def test_logprobs_are_put_together() -> None:
    """Token by token."""
    chunks = [chunk() | {"choices": [{"delta": {"content": t}, "logprobs": {"content": [{"token": t}]}}]} for t in "ab"]
    body = json.loads(response_of("chat", *chunks, STOP, DONE).body)
    assert body["choices"][0]["logprobs"] == {"content": [{"token": "a"}, {"token": "b"}]}


@pytest.mark.parametrize(
    "last",
    [
        pytest.param([STOP, COUNT, DONE], id="in a chunk of its own"),
        pytest.param([STOP | {"usage": USAGE}, DONE], id="with the finish reason"),
        pytest.param([STOP | {"usage": {"prompt_tokens": 5}}, COUNT, DONE], id="the last one told counts"),
        pytest.param([STOP | {"usage": None}, COUNT, COUNT | {"usage": None}, DONE], id="null is none"),
        pytest.param(
            [chunk() | {"choices": [{"finish_reason": "stop", "usage": USAGE}]}, DONE], id="inside the choice"
        ),
        pytest.param([STOP, COUNT], id="without a last word"),
        pytest.param([STOP, COUNT, b" [DONE] "], id="with blanks around the last word"),
    ],
)
def test_usage_is_found_wherever_it_stands(last: list[Said]) -> None:
    """Providers differ."""
    assert response_of("chat", *words("x"), *last).usage == COUNTED


def test_an_answer_is_complete_with_its_finish_reason() -> None:
    """A connection that breaks behind it loses nothing that was said; the answer is not bought again."""
    reset = Failure(Fault.AMBIGUOUS, "reset", code="reset")
    response = response_of("chat", *words("x"), STOP)
    assert (response.text, response.usage) == ("x", Usage())
    assert response_of("chat", *words("x"), STOP, cut=reset).text == "x"


@pytest.mark.parametrize(("second", "n"), [([], 2), ([chunk({"content": "y"}, index=1)], None)])
def test_every_choice_needs_a_finish_reason(second: list[Said], n: int | None) -> None:
    """Those that were asked for, and those that have begun."""
    failure = failure_of("chat", *words("x"), STOP, *second, n=n)
    assert (failure.fault, failure.code) == (Fault.AMBIGUOUS, "stream_cut")


@pytest.mark.parametrize(
    ("events", "code"),
    [
        pytest.param(words("Once upon"), "stream_cut", id="the end of the stream"),
        pytest.param([*words("Once upon"), DONE], "no_finish_reason", id="no finish reason before the end"),
        pytest.param([*words("Once upon"), chunk(finish_reason="error"), DONE], "no_finish_reason", id="an odd one"),
        pytest.param([*words("Once upon"), chunk(finish_reason=""), DONE], "no_finish_reason", id="an empty one"),
        pytest.param([*words("Once upon"), b'{"choices": [', DONE], None, id="a broken chunk"),
        pytest.param([*words("Once upon"), b"\xff", DONE], None, id="no text"),
        pytest.param([*words("Once upon"), b"[" * 100_000, DONE], None, id="a deep one"),
    ],
)
def test_what_is_no_answer_shows_how_it_began(events: list[Said], code: str | None) -> None:
    """And counts what is known to have been used."""
    first = chunk({}, usage=USAGE)
    failure = failure_of("chat", first, *events)
    assert (failure.fault, failure.code, failure.excerpt) == (Fault.AMBIGUOUS, code, "Once upon")
    assert failure.usage == COUNTED


def test_how_it_broke_off_is_told() -> None:
    """The transport knows better than the events."""
    reset = Failure(Fault.AMBIGUOUS, "host reset the connection", code="reset")
    failure = failure_of("chat", *words("Once"), cut=reset)
    assert (failure.message, failure.code, failure.excerpt) == ("host reset the connection", "reset", "Once")
    assert failure.usage is None


def test_an_answer_that_is_complete_stays_one_whatever_follows() -> None:
    """It is paid for; to ask again would pay twice."""
    late = {"error": {"code": 500, "message": "Too late"}}
    response = response_of("chat", *words("Once upon"), chunk(finish_reason="stop"), late)
    assert (response.text, response.finish_reason) == ("Once upon", "stop")


@pytest.mark.parametrize(
    ("event", "fault", "code"),
    [
        ({"error": {"code": "rate_limit_exceeded", "message": "Slow"}}, Fault.THROTTLED, "rate_limit_exceeded"),
        ({"error": {"code": 429, "message": "Slow"}}, Fault.THROTTLED, None),
        ({"error": {"type": "overloaded_error", "message": "Overloaded"}}, Fault.OVERLOADED, "overloaded_error"),
        (("error", {"code": "invalid_api_key", "message": "No"}), Fault.ACCOUNT, "invalid_api_key"),
        (("error", {"type": "error", "error": {"type": "overloaded_error"}}), Fault.OVERLOADED, "overloaded_error"),
        ({"object": "error", "message": "Out of memory", "code": 500}, Fault.OVERLOADED, None),
        ({"error": "something"}, Fault.AMBIGUOUS, None),
        (("error", b"words"), Fault.AMBIGUOUS, None),
    ],
)
def test_an_error_in_the_stream_means_what_it_says(event: Said, fault: Fault, code: str | None) -> None:
    """Classified as an error in a body would be."""
    failure = failure_of("chat", *words("Once"), event, STOP, DONE)
    assert (failure.fault, failure.code, failure.excerpt) == (fault, code, "Once")


def test_an_error_of_a_choice_is_one() -> None:
    """OpenRouter's, when the model fails half-way."""
    choice = {"delta": {"content": "x"}, "finish_reason": "error", "error": {"code": 502, "message": "Lost"}}
    failure = failure_of("chat", chunk() | {"choices": [choice]}, DONE)
    assert (failure.fault, failure.message) == (Fault.AMBIGUOUS, "Lost")


def test_no_credential_is_quoted() -> None:
    """Neither from the answer nor from the error."""
    error = {"error": {"message": "bad key sk-secret"}}
    for events in ([error], [*words("the key is sk-secret"), DONE], words("sk-secret")):
        failure = failure_of("chat", *events)
        assert "sk-secret" not in f"{failure.message} {failure.excerpt}"


@pytest.mark.parametrize("events", [[DONE], [b"  ", DONE], [COUNT, DONE]])
def test_a_stream_without_a_choice_is_no_answer(events: list[Said]) -> None:
    """Blank data is none."""
    failure = failure_of("chat", *events)
    assert (failure.code, failure.message) == ("not_an_answer", "The answer has no choices.")


def test_a_completion_has_its_ordinary_form() -> None:
    """Text in place of a message."""

    def piece(text: str, finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"text": text, "index": 0, "logprobs": None, "finish_reason": finish_reason}
        return {"id": "cmpl-1", "object": "text_completion", "created": 7, "model": "m-1", "choices": [choice]}

    response = response_of("completions", piece("On"), piece("ce"), piece("", "stop"), COUNT, DONE, prompt="x")
    assert (response.text, response.usage) == ("Once", COUNTED)
    assert json.loads(response.body)["choices"] == [
        {"text": "Once", "index": 0, "logprobs": None, "finish_reason": "stop"}
    ]


@pytest.mark.parametrize(
    ("prompt", "n", "code"),
    [(["a", "b"], None, "stream_cut"), ("a", 2, "stream_cut"), ([1, 2, 3], None, None), ("a", None, None)],
)
def test_every_prompt_needs_its_continuation(prompt: object, n: int | None, code: str | None) -> None:
    """Where the last word is missing, they are counted; a list of token numbers is one prompt."""
    piece = {"choices": [{"text": "x", "index": 0, "finish_reason": "stop"}]}
    if code is None:
        assert response_of("completions", piece, prompt=prompt, n=n).text == "x"
    else:
        assert failure_of("completions", piece, prompt=prompt, n=n).code == code
