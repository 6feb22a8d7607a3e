"""The line formats, byte for byte."""

import json
from typing import Any

import msgspec
import pytest

from penstock.models import Attempt, Failure, Fault, Result, Status, Usage
from penstock.sinks.lines import encode_batch, encode_failed, encode_result, iso_utc

ANSWER = Result(
    key="a",
    index=7,
    status=Status.OK,
    raw=b'{"id": "a", "price": 1.00}',
    model="m",
    endpoint="e",
    body=b'{"id":"x", "n": 1.0}',
    text="好",
    finish_reason="stop",
    usage=Usage(10, 2, 5, 1),
    cost=0.25,
    latency_ms=12.345,
    queue_ms=0.5,
    attempts=(
        Attempt("e", 0.0, 1.0, Fault.OVERLOADED, 503),
        Attempt("e", 0.0, 1.0, http_status=201),
    ),
    finished_at=1_700_000_000.25,
)


def failed(raw: bytes = b'{"q": 1.00}', failure: Failure | None = None) -> Result:
    """A failed task with this row."""
    failure = failure or Failure(Fault.REJECTED, "too long", 400, "context_length_exceeded", excerpt="…")
    return Result("a", 7, Status.FAILED, raw, attempts=(Attempt("e", 0.0, 1.0),), failure=failure)


def test_result_line() -> None:
    """An answer is one object with the documented fields in order, and the row byte for byte."""
    assert encode_result(ANSWER).decode() == (
        '{"key":"a","index":7,"status":"ok","model":"m","endpoint":"e","text":"好","finish_reason":"stop",'
        '"usage":{"input_tokens":10,"cached_tokens":2,"output_tokens":5,"reasoning_tokens":1},'
        '"cost":0.25,"currency":"USD","latency_ms":12.3,"queue_ms":0.5,"attempts":2,'
        '"finished_at":"2023-11-14T22:13:20.250Z","data":{"id": "a", "price": 1.00}}'
    )


def test_output_follows_text() -> None:
    """What an API gives instead of text stands in `output`, after `text`."""
    result = msgspec.structs.replace(ANSWER, text=None, output=msgspec.Raw(b"[[0.5]]"))
    assert b'"text":null,"output":[[0.5]],"finish_reason"' in encode_result(result)


@pytest.mark.parametrize("newline", [b"\n", b"\r", b"\r\n"])
def test_spliced_json_is_put_on_one_line(newline: bytes) -> None:
    """Rows and bodies that were printed over several lines do not break the line."""
    result = msgspec.structs.replace(ANSWER, raw=b'{"id":' + newline + b'"a"}', body=b"{" + newline + b"}")
    for line in (encode_result(result), encode_batch(result), encode_failed(failed(result.raw))):
        assert b"\n" not in line
        assert b"\r" not in line
        json.loads(line)


@pytest.mark.parametrize(
    ("raw", "fields"),
    [
        (b'{"q": 1.00}', {"q": 1.0, "key": "a"}),
        (b"{}", {"key": "a"}),
        (b'{"key": 5, "q": 2}', {"key": 5, "q": 2}),
        (b'{"custom_id": "a"}', {"custom_id": "a", "key": "a"}),
        (b'{"key": "a", "_failure": {"message": "earlier"}}', {"key": "a"}),
    ],
)
def test_failed_line_is_the_row(raw: bytes, fields: dict[str, Any]) -> None:
    """A failed line is the row with its key, and says once what went wrong."""
    line = json.loads(encode_failed(failed(raw)))
    assert line.pop("_failure")["message"] == "too long"
    assert line == fields


def test_failure_note() -> None:
    """The note of a failed line has everything that a person needs to mend it."""
    assert json.loads(encode_failed(failed()))["_failure"] == {
        "index": 7,
        "where": "",
        "fault": "rejected",
        "message": "too long",
        "status": 400,
        "code": "context_length_exceeded",
        "attempts": 1,
        "excerpt": "…",
        "finished_at": "1970-01-01T00:00:00.000Z",
    }


def test_failed_line_keeps_values_as_they_came() -> None:
    """Numbers of the row are not written in another way."""
    assert encode_failed(failed(b'{"n": 1.00, "big": 123456789012345678901234567890}')).startswith(
        b'{"n":1.00,"big":123456789012345678901234567890,'
    )


def test_batch_line() -> None:
    """An answer in OpenAI's form carries the body byte for byte and the status it came with."""
    assert encode_batch(ANSWER) == (
        b'{"id":"batch_req_7","custom_id":"a","response":{"status_code":201,"request_id":"",'
        b'"body":{"id":"x", "n": 1.0}},"error":null}'
    )


@pytest.mark.parametrize(
    ("unix_s", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1_700_000_000.0, "2023-11-14T22:13:20.000Z"),
        (1_769_846_400.999, "2026-01-31T08:00:00.999Z"),
    ],
)
def test_times_are_utc(unix_s: float, text: str) -> None:
    """Times are ISO 8601 in UTC with milliseconds."""
    assert iso_utc(unix_s) == text
