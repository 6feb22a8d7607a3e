"""From a row to a task with a key, and from a task to the request that is sent."""

import json
from typing import Any

import pytest

from penstock.engine.requests import Renderer, to_task
from penstock.errors import TemplateError, UsageError
from penstock.models import Request, Row, Task
from penstock.options import RunOptions


def task_of(data: dict[str, Any], key_field: str | None = None, error: str | None = None) -> Task:
    """The task that a row with these fields becomes, at index 7."""
    return to_task(Row(json.dumps(data).encode(), data, "rows.jsonl:8", error), 7, key_field)


def render(data: dict[str, Any], **options: Any) -> Request:
    """The request of a row; the model is "m" unless the options say otherwise."""
    return Renderer(RunOptions(**({"model": "m"} | options))).render(task_of(data))


def body(request: Request) -> Any:
    """What is sent, decoded."""
    return json.loads(request.body)


@pytest.mark.parametrize(
    ("data", "key"),
    [
        ({"custom_id": "c", "key": "k", "id": "i"}, "c"),
        ({"id": "i", "key": "k"}, "k"),
        ({"id": "i"}, "i"),
        ({"id": 17}, "17"),
        ({"id": 0}, "0"),
        ({"id": -3}, "-3"),
        ({"custom_id": None, "id": "i"}, "i"),
        ({"id": None}, "7"),
        ({}, "7"),
        ({"id": " spaced "}, " spaced "),
        ({"id": "编号"}, "编号"),
    ],
)
def test_a_key_is_custom_id_then_key_then_id_then_the_index(data: dict[str, Any], key: str) -> None:
    """The first of them that is there and not null; whole numbers count as text."""
    task = task_of(data)
    assert (task.key, task.error) == (key, None)


@pytest.mark.parametrize("value", ["", True, False, 1.0, [], ["a"], {}, {"a": 1}])
def test_what_cannot_be_a_key_is_an_error(value: object) -> None:
    """The task gets "#" and its index as key, and says which field is wrong; the next field is not taken instead."""
    task = task_of({"key": value, "id": "i"})
    assert task.key == "#7"
    assert task.error == "the key field 'key' is neither text nor a whole number"


def test_key_names_the_field() -> None:
    """With --key no other field is looked at."""
    assert task_of({"sku": "s", "id": "i", "custom_id": "c"}, "sku").key == "s"


@pytest.mark.parametrize("data", [{"id": "i"}, {"id": "i", "sku": None}])
def test_a_row_without_the_named_field_is_an_error(data: dict[str, Any]) -> None:
    """It does not silently get another key."""
    task = task_of(data, "sku")
    assert task.key == "#7"
    assert task.error == "the row has no field 'sku', which --key names"


def test_the_rows_own_error_comes_first() -> None:
    """A record that cannot be used says that, not what its excerpt lacks; it keeps its place and its bytes."""
    task = task_of({"raw": "{"}, "sku", error="It is not valid JSON.")
    assert task == Task("#7", 7, b'{"raw": "{"}', {"raw": "{"}, "rows.jsonl:8", "It is not valid JSON.")


def test_a_task_with_an_error_gives_no_request() -> None:
    """The error is the reason, in its words."""
    with pytest.raises(ValueError, match=r"It is not valid JSON\."):
        Renderer(RunOptions(model="m")).render(task_of({"prompt": "p"}, error="It is not valid JSON."))


def test_a_prompt_becomes_a_message() -> None:
    """The template over the row, the system message before it."""
    request = render({"text": "x", "lang": "de"}, prompt="Say {{ text }}", system="Speak {{ lang }}.")
    assert (request.api, request.path, request.model) == ("chat", "chat/completions", "m")
    assert body(request) == {
        "model": "m",
        "messages": [{"role": "system", "content": "Speak de."}, {"role": "user", "content": "Say x"}],
    }


def test_the_rows_own_messages_are_sent_as_they_are() -> None:
    """They win over the row's prompt."""
    messages = [{"role": "user", "content": [{"type": "text", "text": "x"}]}]
    assert body(render({"messages": messages, "prompt": "p"}))["messages"] == messages


def test_the_row_wins_over_the_options() -> None:
    """Its model over --model, each of its parameters over the same --param."""
    request = render(
        {"prompt": "p", "model": "large", "params": {"temperature": 0}}, param={"temperature": 1, "max_tokens": 5}
    )
    assert request.model == "large"
    assert body(request) | {"messages": None} == {
        "model": "large",
        "messages": None,
        "temperature": 0,
        "max_tokens": 5,
    }


def test_params_cannot_rename_the_model_unseen() -> None:
    """The model that is priced and shown is the one that is asked."""
    request = render({"prompt": "p", "params": {"model": "other"}})
    assert (request.model, body(request)["model"]) == ("m", "m")


@pytest.mark.parametrize("params", [[], "temperature=0", 3, True])
def test_params_that_are_no_object_are_refused(params: object) -> None:
    """Sending the request without them would be another request."""
    with pytest.raises(ValueError, match="the row's `params` is not an object"):
        render({"prompt": "p", "params": params})


def test_params_that_are_null_are_none() -> None:
    """As a table with an empty cell gives them."""
    assert set(body(render({"prompt": "p", "params": None}))) == {"model", "messages"}


@pytest.mark.parametrize("model", [None, ""])
def test_a_row_without_a_model_of_its_own_takes_the_options(model: str | None) -> None:
    """Null and empty are none."""
    assert render({"prompt": "p", "model": model}).model == "m"


@pytest.mark.parametrize("model", [None, "", 5, ["m"]])
def test_a_missing_model_is_said(model: object) -> None:
    """With how to name one."""
    with pytest.raises(ValueError, match="no model is named: give --model"):
        render({"prompt": "p", "model": model}, model=None)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({}, "the row has no prompt"),
        ({"prompt": ""}, "is empty"),
        ({"prompt": 5}, "neither text nor a list"),
        ({"messages": []}, "is not a list of messages"),
        ({"messages": "hi"}, "is not a list of messages"),
        ({"prompt": "p", "params": {"stream": True}}, "`stream` is set"),
    ],
)
def test_a_row_that_gives_no_request_says_why(data: dict[str, Any], words: str) -> None:
    """In words for whoever wrote the row."""
    with pytest.raises(ValueError, match=words):
        render(data)


def test_a_field_that_the_prompt_needs_and_the_row_lacks_is_an_error() -> None:
    """Never a hole in a prompt that is paid for."""
    with pytest.raises(ValueError, match="needs"):
        render({"other": "x"}, prompt="Say {{ text }}")


def test_a_template_that_does_not_compile_is_refused_at_once() -> None:
    """Before any row is read."""
    with pytest.raises(TemplateError, match="--system does not compile"):
        Renderer(RunOptions(model="m", system="{{ a"))


BATCH_LINE = {
    "custom_id": "r1",
    "method": "POST",
    "url": "/v1/embeddings",
    "body": {"model": "e", "input": ["a", "b"], "dimensions": 8},
}


def test_a_batch_line_is_taken_as_it_is() -> None:
    """Its url names the API, its body is the request; prompt and model of the options do not touch it."""
    request = render(BATCH_LINE, prompt="Say {{ text }}")
    assert (request.api, request.path, request.model) == ("embeddings", "embeddings", "e")
    assert body(request) == BATCH_LINE["body"]


def test_options_fill_in_what_a_batch_line_leaves_out() -> None:
    """Model and parameters, and never more than that."""
    line = {"custom_id": "r1", "url": "/v1/chat/completions", "body": {"messages": [], "temperature": 0}}
    assert body(render(line, param={"temperature": 1, "seed": 3})) == {
        "model": "m",
        "messages": [],
        "temperature": 0,
        "seed": 3,
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"method": "GET"}, "the method of this Batch line is 'GET'"),
        ({"url": "/v1/files"}, "the url '/v1/files' of this Batch line is not one"),
        ({"url": None}, "of this Batch line is not one"),
        ({"url": "http://[::1/v1/embeddings"}, "Invalid IPv6"),
        ({"body": {"model": "e", "stream": True}}, "`stream` is set"),
    ],
)
def test_a_batch_line_that_cannot_be_sent_says_why(change: dict[str, Any], words: str) -> None:
    """It is not taken for an ordinary row."""
    with pytest.raises(ValueError, match=words):
        render(BATCH_LINE | change)


MESSAGES = [{"role": "user", "content": "Hi"}]
COUNTED = {"include_usage": True}


@pytest.mark.parametrize(
    ("data", "options", "fields"),
    [
        ({"prompt": "Hi"}, {}, {"stream": True, "stream_options": COUNTED}),
        ({"prompt": "Hi"}, {"api": "completions"}, {"stream": True, "stream_options": COUNTED}),
        ({"prompt": "Hi"}, {"api": "responses"}, {"stream": True}),
        ({"prompt": "Hi", "params": {"stream": True}}, {}, {"stream": True, "stream_options": COUNTED}),
        ({"prompt": "Hi", "params": {"stream": False}}, {}, {"stream": False}),
        ({"prompt": "Hi", "params": {"stream": None}}, {}, {"stream": True, "stream_options": COUNTED}),
        ({"prompt": "Hi"}, {"param": {"stream_options": False}}, {"stream": True}),
        ({"prompt": "Hi", "params": {"stream_options": None}}, {}, {"stream": True}),
        (
            {"prompt": "Hi", "params": {"stream_options": {"include_obfuscation": False}}},
            {},
            {"stream": True, "stream_options": COUNTED | {"include_obfuscation": False}},
        ),
        (
            {"url": "/v1/chat/completions", "body": {"messages": MESSAGES, "stream": True}},
            {},
            {"stream": True, "stream_options": COUNTED},
        ),
        ({"url": "/v1/responses", "body": {"input": "Hi"}}, {}, {"stream": True}),
        ({"url": "/v1/embeddings", "body": {"input": "Hi"}}, {}, {}),
    ],
)
def test_a_stream_is_asked_for(data: dict[str, Any], options: dict[str, Any], fields: dict[str, Any]) -> None:
    """With the counts of tokens, where the API has to be asked; a row's own fields win."""
    request = render(data, stream=True, **options)
    sent = body(request)
    assert {name: sent[name] for name in ("stream", "stream_options") if name in sent} == fields
    assert request.stream is bool(fields.get("stream"))


def test_without_it_nothing_is_streamed() -> None:
    """The body has no such field."""
    request = render({"prompt": "Hi"})
    assert (request.stream, "stream" in body(request)) == (False, False)


@pytest.mark.parametrize("api", ["embeddings", "moderations"])
def test_what_cannot_stream_is_refused_at_once(api: str) -> None:
    """The option is wrong, not the rows."""
    with pytest.raises(UsageError, match=f"--api {api}"):
        Renderer(RunOptions(model="m", api=api, stream=True))  # type: ignore[arg-type]


def test_a_line_that_cannot_stream_says_so() -> None:
    """Where it asks for it itself."""
    line = {"url": "/v1/embeddings", "body": {"model": "e", "input": "x", "stream": True}}
    with pytest.raises(ValueError, match="`stream` is set"):
        render(line, stream=True)
