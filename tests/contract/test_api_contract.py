"""Every API: encodes or says why not, and takes nothing for an answer that is not a complete one."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.apis.protocol import Api
from penstock.apis.registry import APIS, api_for_path
from penstock.models import Failure, Fault, Response

USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}

ANSWERS: dict[str, dict[str, Any]] = {
    "chat": {
        "id": "chatcmpl-1",
        "model": "m-1",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hé 你"}, "finish_reason": "stop"}],
        "usage": USAGE,
    },
    "completions": {"model": "m-1", "choices": [{"text": "Hé 你", "finish_reason": "stop"}], "usage": USAGE},
    "responses": {
        "model": "m-1",
        "status": "completed",
        "error": None,
        "output": [{"type": "message", "content": [{"type": "output_text", "text": "Hé 你"}]}],
        "usage": {"input_tokens": 5, "output_tokens": 2},
    },
    "embeddings": {"model": "m-1", "data": [{"index": 0, "embedding": [0.1, -2e-3, 3]}], "usage": USAGE},
    "moderations": {"model": "m-1", "results": [{"flagged": False, "categories": {}}], "usage": USAGE},
}

every_api = pytest.mark.parametrize("api", APIS.values(), ids=APIS)


def body_of(api: Api, **changed: Any) -> bytes:
    """A good answer of this API, with some members changed."""
    return json.dumps(ANSWERS[api.name] | changed, ensure_ascii=False).encode()


def test_every_api_stands_in_the_table_under_its_own_name() -> None:
    """The name of an API is its key, and nothing else is in the table."""
    assert {name: api.name for name, api in APIS.items()} == {name: name for name in ANSWERS}


@every_api
def test_its_path_leads_to_it(api: Api) -> None:
    """A Batch line names its API by path, with or without the version."""
    assert api_for_path(f"/v1/{api.path}") is api
    assert api_for_path(api.path) is api


@pytest.mark.parametrize("path", ["", "/", "/v1/", "/v1/files", "chat", "https://host/v1/responses", "/v1/Completions"])
def test_another_path_leads_nowhere(path: str) -> None:
    """A path that is none of these has no API."""
    assert api_for_path(path) is None


@every_api
def test_a_prompt_becomes_fields_of_the_body(api: Api) -> None:
    """The rendered prompt is in what is sent, without a model or parameters."""
    fields = api.encode({"id": 1}, "Say hé", None)
    assert "Say hé" in json.dumps(fields, ensure_ascii=False)
    assert "model" not in fields


@every_api
def test_a_row_may_bring_its_own_prompt(api: Api) -> None:
    """Without a template the row's `prompt` is asked."""
    assert api.encode({"prompt": "Say hé"}, None, None) == api.encode({}, "Say hé", None)


@every_api
@pytest.mark.parametrize("row", [{}, {"text": "x"}, {"prompt": None}, {"prompt": ""}, {"prompt": 5}, {"prompt": []}])
def test_a_row_without_a_prompt_is_refused_in_words(api: Api, row: dict[str, Any]) -> None:
    """Nothing is asked where there is nothing to ask."""
    with pytest.raises(ValueError, match=r"the (row|row's|prompt)\b.*(has no|is empty|is neither)"):
        api.encode(row, None, None)


@every_api
def test_a_complete_answer_is_a_response(api: Api) -> None:
    """Body, model and usage are the provider's own."""
    body = body_of(api)
    response = api.decode(body)
    assert isinstance(response, Response)
    assert response.body == body
    assert response.model == "m-1"
    assert response.usage.input_tokens == 5
    assert response.text == "Hé 你" or response.output is not None
    assert response.partial is None


@every_api
def test_an_answer_to_what_was_asked_is_a_response(api: Api) -> None:
    """The request that the API made itself fits its answer."""
    request = json.dumps(api.encode({}, "Say hé", None) | {"model": "m-1"}).encode()
    assert isinstance(api.decode(body_of(api), request), Response)


@every_api
def test_an_answer_cut_anywhere_is_none(api: Api) -> None:
    """Not one proper beginning of a good body passes for an answer."""
    body = body_of(api)
    for end in range(len(body)):
        failure = api.decode(body[:end])
        assert isinstance(failure, Failure), body[:end]
        assert failure.fault is Fault.AMBIGUOUS
        assert failure.code == "not_an_answer"


@every_api
@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"<!DOCTYPE html><html><title>Sign in</title></html>", "HTML page.*ends in /v1"),
        (b"upstream connect error", "is text"),
        (b'data: {"choices": []}\n\ndata: [DONE]\n\n', "stream of events"),
        (b'{"model": NaN}', "not complete JSON"),
        (b'{"model": "m"} {}', "not complete JSON"),
        (b'{"model": "\xff"}', "not complete JSON"),
        (b"[]", "another form"),
        (b"null", "another form"),
        (b'{"model": 5}', "another form"),
        (b'{"x": ' + b"[" * 100_000, "not complete JSON"),
    ],
)
def test_what_is_no_answer_is_told_plainly(api: Api, body: bytes, said: str) -> None:
    """Web pages, text, streams and broken JSON are ambiguous failures that say what came."""
    failure = api.decode(body)
    assert isinstance(failure, Failure)
    assert (failure.fault, failure.code) == (Fault.AMBIGUOUS, "not_an_answer")
    assert re.search(said, failure.message)


@every_api
@pytest.mark.parametrize("member", ["choices", "output", "data", "results"])
@pytest.mark.parametrize("value", [[], None])
def test_an_answer_without_content_is_none(api: Api, member: str, value: object) -> None:
    """An empty list of what was asked for is not an answer."""
    if member in ANSWERS[api.name]:
        assert isinstance(api.decode(body_of(api, **{member: value})), Failure)


@every_api
@pytest.mark.parametrize(
    ("error", "fault"),
    [
        ({"message": "Slow down", "code": "rate_limit_exceeded"}, Fault.THROTTLED),
        ({"message": "No credit", "type": "insufficient_quota"}, Fault.ACCOUNT),
        ({"message": "Upstream failed", "code": 502}, Fault.AMBIGUOUS),
        ({"message": "Overloaded", "type": "overloaded_error"}, Fault.OVERLOADED),
        ({"message": "Bad", "type": "invalid_request_error"}, Fault.REJECTED),
        ("something", Fault.AMBIGUOUS),
        ({}, Fault.AMBIGUOUS),
        (7, Fault.AMBIGUOUS),
    ],
)
def test_an_error_inside_a_good_status_is_classified(api: Api, error: object, fault: Fault) -> None:
    """An `error` member is never an answer, whatever stands beside it."""
    failure = api.decode(body_of(api, error=error))
    assert isinstance(failure, Failure)
    assert failure.fault is fault


@every_api
def test_an_error_counts_even_beside_members_of_another_form(api: Api) -> None:
    """The error's own words are told, not that the rest is odd."""
    failure = api.decode(b'{"model": 5, "error": {"message": "No credit", "code": "insufficient_quota"}}')
    assert isinstance(failure, Failure)
    assert (failure.fault, failure.message) == (Fault.ACCOUNT, "No credit")


@every_api
def test_a_null_error_is_no_error(api: Api) -> None:
    """Some providers send `"error": null` with every answer."""
    assert isinstance(api.decode(body_of(api, error=None)), Response)


@every_api
@pytest.mark.parametrize(
    "usage", [None, "many", [], {}, {"prompt_tokens": None}, {"prompt_tokens": -3}, {"prompt_tokens": 1.5}, 10**30]
)
def test_a_bad_count_does_not_cost_the_answer(api: Api, usage: object) -> None:
    """An answer is kept where its usage cannot be read; the usage is zero then."""
    response = api.decode(body_of(api, usage=usage))
    assert isinstance(response, Response)
    assert response.usage.input_tokens == 0


@every_api
def test_a_long_number_is_survived(api: Api) -> None:
    """A million digits are neither a crash nor an answer where an error is."""
    assert isinstance(api.decode(b'{"error": ' + b"9" * 1_000_000 + b"}"), Failure)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@every_api
@given(body=st.binary(max_size=200))
def test_no_bytes_raise_or_pass(api: Api, body: bytes) -> None:
    """Noise is a failure."""
    assert isinstance(api.decode(body), Failure)


@every_api
@given(data=st.data())
def test_no_changed_member_raises(api: Api, data: st.DataObject) -> None:
    """Any JSON in any place of a good answer gives a response or a failure."""
    answer = json.loads(json.dumps(ANSWERS[api.name]))
    node: Any = answer
    while True:
        key = data.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
        if not isinstance(node[key], dict | list) or not node[key] or data.draw(st.booleans()):
            break
        node = node[key]
    node[key] = data.draw(JSON)
    assert isinstance(api.decode(json.dumps(answer).encode()), Response | Failure)
