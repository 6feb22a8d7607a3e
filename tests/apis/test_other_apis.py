"""What completions, responses, embeddings and moderations have of their own."""

import json
from typing import Any

import msgspec
import pytest

from penstock.apis.completions import Completions
from penstock.apis.embeddings import Embeddings
from penstock.apis.moderations import Moderations
from penstock.apis.protocol import Api
from penstock.apis.responses import Responses
from penstock.models import Failure, Fault, Outcome, Response, Usage


def decoded(api: Api, answer: dict[str, Any]) -> Outcome:
    """The outcome of an answer as a body."""
    return api.decode(json.dumps(answer).encode())


def answered(api: Api, asked: Any, answers: int) -> Outcome:
    """The outcome of so many answers to this input."""
    vectors = [{"index": index, "embedding": [1.0]} for index in range(answers)]
    body = {"data": vectors} if api.name == "embeddings" else {"results": [{"flagged": False}] * answers}
    return api.decode(json.dumps(body).encode(), json.dumps({"model": "m", "input": asked}).encode())


def output_of(outcome: Outcome) -> Any:
    """The output of what must be a response."""
    assert isinstance(outcome, Response), outcome
    assert outcome.output is not None
    return msgspec.json.decode(outcome.output)


@pytest.mark.parametrize("api", [Completions(), Embeddings(), Moderations()], ids=lambda api: str(api.name))
def test_a_system_message_is_refused_where_there_is_no_place_for_it(api: Api) -> None:
    """It is not silently left out."""
    with pytest.raises(ValueError, match="takes no system message"):
        api.encode({}, "Hi", "Be brief")


@pytest.mark.parametrize("api", [Responses(), Embeddings(), Moderations()], ids=lambda api: str(api.name))
def test_the_template_wins_over_the_rows_input(api: Api) -> None:
    """A template may read a field `input`; without one the field itself is sent."""
    assert api.encode({"input": "raw"}, "About raw", None) == {"input": "About raw"}
    assert api.encode({"input": ["a", "b"]}, None, None) == {"input": ["a", "b"]}


def test_several_completions_are_all_kept() -> None:
    """The first is the text, all of them are the output."""
    choices = [{"text": text, "finish_reason": "length"} for text in ("a", "")]
    response = decoded(Completions(), {"choices": choices})
    assert output_of(response) == ["a", ""]
    assert isinstance(response, Response)
    assert (response.text, response.partial) == ("a", "length")


@pytest.mark.parametrize("choice", [{"text": "a"}, {"text": None, "finish_reason": "stop"}, {"finish_reason": "stop"}])
def test_a_completion_needs_text_and_an_end(choice: dict[str, Any]) -> None:
    """Neither may be missing."""
    assert isinstance(decoded(Completions(), {"choices": [choice]}), Failure)


def test_instructions_are_the_system_message_of_responses() -> None:
    """They stand beside the input."""
    assert Responses().encode({}, "Hi", "Be brief") == {"input": "Hi", "instructions": "Be brief"}


def test_messages_are_an_input_of_responses() -> None:
    """A row made for chat completions can be sent to responses."""
    messages = [{"role": "user", "content": "Hi"}]
    assert Responses().encode({"messages": messages}, None, None) == {"input": messages}


def test_all_text_of_a_response_is_joined() -> None:
    """Reasoning is left out, and tokens are counted in the API's own spelling."""
    response = decoded(
        Responses(),
        {
            "status": "completed",
            "output": [
                {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "hm"}]},
                {"type": "message", "content": [{"type": "output_text", "text": "Hel"}]},
                {"type": "message", "content": [{"type": "output_text", "text": "lo"}]},
            ],
            "usage": {
                "input_tokens": 9,
                "input_tokens_details": {"cached_tokens": 8},
                "output_tokens": 4,
                "output_tokens_details": {"reasoning_tokens": 3},
            },
        },
    )
    assert isinstance(response, Response)
    assert (response.text, response.finish_reason) == ("Hello", "completed")
    assert response.usage == Usage(9, 8, 4, 3)


@pytest.mark.parametrize(
    ("reason", "partial"), [("max_output_tokens", "length"), ("content_filter", "content_filter"), (None, "length")]
)
def test_an_incomplete_response_is_partial(reason: str | None, partial: str) -> None:
    """Even where reasoning used up all tokens and there is no text."""
    response = decoded(
        Responses(),
        {"status": "incomplete", "incomplete_details": {"reason": reason}, "output": [{"type": "reasoning"}]},
    )
    assert isinstance(response, Response)
    assert (response.text, response.partial) == ("", partial)


def test_a_refusing_response_is_partial() -> None:
    """The refusal is the text."""
    part = {"type": "refusal", "refusal": "I cannot."}
    response = decoded(Responses(), {"status": "completed", "output": [{"type": "message", "content": [part]}]})
    assert isinstance(response, Response)
    assert (response.text, response.partial) == ("I cannot.", "refusal")


def test_calls_of_a_response_are_kept_as_they_stand() -> None:
    """Every field of theirs is in the output."""
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    assert output_of(decoded(Responses(), {"status": "completed", "output": [{"type": "reasoning"}, call]})) == [call]


@pytest.mark.parametrize(
    ("answer", "fault", "code"),
    [
        ({"status": "in_progress", "output": []}, Fault.AMBIGUOUS, "no_finish_reason"),
        ({"status": "queued", "output": []}, Fault.AMBIGUOUS, "no_finish_reason"),
        ({"output": [{"type": "message"}]}, Fault.AMBIGUOUS, "no_finish_reason"),
        ({"status": "completed", "output": []}, Fault.AMBIGUOUS, "not_an_answer"),
        ({"status": "failed", "error": {"code": "server_error", "message": "x"}}, Fault.OVERLOADED, "server_error"),
        ({"status": "failed", "error": None}, Fault.AMBIGUOUS, None),
    ],
)
def test_a_response_that_did_not_end_is_a_failure(answer: dict[str, Any], fault: Fault, code: str | None) -> None:
    """Only completed and incomplete ones have ended."""
    failure = decoded(Responses(), answer)
    assert isinstance(failure, Failure)
    assert (failure.fault, failure.code) == (fault, code)


def test_one_vector_is_the_output() -> None:
    """As the provider wrote it."""
    assert output_of(decoded(Embeddings(), {"data": [{"index": 0, "embedding": [0.5, 1]}]})) == [0.5, 1]


def test_several_vectors_stand_in_the_order_of_the_inputs() -> None:
    """Whatever order they came in."""
    data = [{"index": 1, "embedding": [2.0]}, {"index": 0, "embedding": [1.0]}]
    assert output_of(decoded(Embeddings(), {"data": data})) == [[1.0], [2.0]]


def test_vectors_without_an_index_keep_their_order() -> None:
    """Some providers do not number them."""
    assert output_of(decoded(Embeddings(), {"data": [{"embedding": [2.0]}, {"embedding": [1.0]}]})) == [[2.0], [1.0]]


def test_a_vector_may_be_base64() -> None:
    """It is passed on as text."""
    assert output_of(decoded(Embeddings(), {"data": [{"index": 0, "embedding": "AACAPw=="}]})) == "AACAPw=="


@pytest.mark.parametrize("indexes", [(0, 2), (0, 0), (1, 2), (0, None)])
def test_a_missing_vector_is_noticed(indexes: tuple[int | None, ...]) -> None:
    """Every index from 0 must be there once."""
    data = [{"index": index, "embedding": [1.0]} for index in indexes]
    assert isinstance(decoded(Embeddings(), {"data": data}), Failure)


@pytest.mark.parametrize("vector", [None, [], "", {}, [None], ["x"], 5])
def test_a_vector_must_be_one(vector: object) -> None:
    """Servers that computed NaN send nulls."""
    assert isinstance(decoded(Embeddings(), {"data": [{"index": 0, "embedding": vector}]}), Failure)


def test_several_moderations_are_a_list() -> None:
    """One result stands alone, several in a list."""
    assert output_of(decoded(Moderations(), {"results": [{"flagged": True}]})) == {"flagged": True}
    assert output_of(decoded(Moderations(), {"results": [{"flagged": True}, {}]})) == [{"flagged": True}, {}]


def test_a_moderation_must_be_an_object() -> None:
    """Anything else is not a result."""
    assert isinstance(decoded(Moderations(), {"results": [None]}), Failure)


several_inputs = pytest.mark.parametrize("api", [Embeddings(), Moderations()], ids=lambda api: str(api.name))


@several_inputs
@pytest.mark.parametrize(
    ("asked", "answers"),
    [("a", 2), (["a", "b", "c"], 1), (["a", "b"], 3), ([1, 2, 3], 3), ([[1, 2], [3]], 1), (["a", [1]], 1)],
)
def test_an_answer_for_fewer_or_more_inputs_is_none(api: Api, asked: object, answers: int) -> None:
    """It may have been billed, and nobody knows which input it is for."""
    failure = answered(api, asked, answers)
    assert isinstance(failure, Failure)
    assert (failure.fault, failure.code) == (Fault.AMBIGUOUS, "not_an_answer")
    assert failure.message.startswith(f"The answer is for {answers} of ")


@several_inputs
@pytest.mark.parametrize(
    ("asked", "answers"), [("a", 1), (["a"], 1), (["a", "b", "c"], 3), ([1, 2, 3], 1), ([[1, 2], [3]], 2)]
)
def test_an_answer_for_every_input_is_a_response(api: Api, asked: object, answers: int) -> None:
    """A text is one input, and so is a list of token numbers."""
    assert isinstance(answered(api, asked, answers), Response)


@several_inputs
@pytest.mark.parametrize("answers", [1, 2])
def test_parts_are_one_input_or_several(api: Api, answers: int) -> None:
    """A text and its image are judged together by one provider and apart by another."""
    parts = [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "https://host/a.png"}}]
    assert isinstance(answered(api, parts, answers), Response)
