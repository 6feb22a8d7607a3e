"""The forms in which a result is written: a result line, a failed line, an OpenAI Batch line, and flat columns.

No line ends in a newline, and none holds one: JSON that is spliced in as it came is put on one line first.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from operator import attrgetter
from typing import Any

import msgspec

from penstock.models import FAILURE_FIELD, Failure, Fault, Result, Status, Usage

_encoder = msgspec.json.Encoder()
_row_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])


class _ResultLine(msgspec.Struct, frozen=True, gc=False):
    key: str
    index: int
    status: Status
    model: str
    endpoint: str
    text: str | None
    output: msgspec.Raw | msgspec.UnsetType
    finish_reason: str | None
    usage: Usage
    cost: float | None
    currency: str
    latency_ms: float
    queue_ms: float
    ttft_ms: float | msgspec.UnsetType
    tokens_per_s: float | msgspec.UnsetType
    attempts: int
    finished_at: str
    data: msgspec.Raw


class _FailureNote(msgspec.Struct, frozen=True):
    index: int
    where: str
    fault: Fault
    message: str
    status: int | None
    code: str | None
    attempts: int
    excerpt: str | None
    finished_at: str


class _BatchResponse(msgspec.Struct, frozen=True):
    status_code: int
    request_id: str
    body: msgspec.Raw


class _BatchLine(msgspec.Struct, frozen=True):
    id: str
    custom_id: str
    response: _BatchResponse
    error: None


def encode_result(result: Result) -> bytes:
    """The line of an answer: the fields of the output in their documented order, `data` being the row as it came.

    `output` is there only where the API gives no text, `ttft_ms` and `tokens_per_s` only where they were measured.
    """
    return _encoder.encode(
        _ResultLine(
            result.key,
            result.index,
            result.status,
            result.model,
            result.endpoint,
            result.text,
            msgspec.UNSET if result.output is None else _on_one_line(result.output),
            result.finish_reason,
            result.usage,
            result.cost,
            result.currency,
            round(result.latency_ms, 1),
            round(result.queue_ms, 1),
            msgspec.UNSET if result.ttft_ms is None else result.ttft_ms,
            msgspec.UNSET if result.tokens_per_s is None else result.tokens_per_s,
            len(result.attempts),
            iso_utc(result.finished_at),
            _on_one_line(result.raw),
        )
    )


def encode_failed(result: Result) -> bytes:
    """The line of a failed task: the row itself with `_failure` added, so that it is a row of a next run.

    `key` is added where the row has none of its own. Every other value of the row stays byte for byte.
    """
    failure = _failure_of(result)
    note = _FailureNote(
        result.index,
        result.where,
        failure.fault,
        failure.message,
        failure.status,
        failure.code,
        len(result.attempts),
        failure.excerpt,
        iso_utc(result.finished_at),
    )
    fields = _row_decoder.decode(result.raw)
    fields.setdefault("key", msgspec.Raw(_encoder.encode(result.key)))
    fields.pop(FAILURE_FIELD, None)
    fields[FAILURE_FIELD] = msgspec.Raw(_encoder.encode(note))
    return bytes(_on_one_line(_encoder.encode(fields)))


def encode_batch(result: Result) -> bytes:
    """The line of an answer in an OpenAI Batch output file.

    The provider's request id is not known, so `request_id` is empty.
    """
    status = result.attempts[-1].http_status if result.attempts else None
    response = _BatchResponse(status or 200, "", _on_one_line(result.body or b"null"))
    return _encoder.encode(_BatchLine(f"batch_req_{result.index}", result.key, response, None))


def iso_utc(unix_s: float) -> str:
    """Seconds since 1970 as ISO 8601 in UTC, to the millisecond: "2026-01-31T08:00:00.250Z"."""
    milliseconds = int(unix_s * 1000 + 0.5)
    return f"{_iso_second(milliseconds // 1000)}.{milliseconds % 1000:03d}Z"


@lru_cache(maxsize=8)
def _iso_second(unix_s: int) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def answer(result: Result) -> str | None:
    """The answer in one cell: its text, or else its output as JSON."""
    if result.text is None and result.output is not None:
        return bytes(result.output).decode()
    return result.text


COLUMNS: dict[str, Callable[[Result], Any]] = {
    "key": attrgetter("key"),
    "index": attrgetter("index"),
    "status": attrgetter("status.value"),
    "model": attrgetter("model"),
    "endpoint": attrgetter("endpoint"),
    "text": answer,
    "finish_reason": attrgetter("finish_reason"),
    "input_tokens": attrgetter("usage.input_tokens"),
    "cached_tokens": attrgetter("usage.cached_tokens"),
    "output_tokens": attrgetter("usage.output_tokens"),
    "reasoning_tokens": attrgetter("usage.reasoning_tokens"),
    "cost": attrgetter("cost"),
    "currency": attrgetter("currency"),
    "latency_ms": lambda result: round(result.latency_ms, 1),
    "queue_ms": lambda result: round(result.queue_ms, 1),
    "ttft_ms": attrgetter("ttft_ms"),
    "tokens_per_s": attrgetter("tokens_per_s"),
    "attempts": lambda result: len(result.attempts),
    "finished_at": lambda result: iso_utc(result.finished_at),
}
"""The columns of a result where it stands in a table, in order, and what stands in them."""


def _failure_of(result: Result) -> Failure:
    assert result.failure is not None, "a failed result has a failure"
    return result.failure


def _on_one_line(json: bytes | msgspec.Raw) -> msgspec.Raw:
    data = bytes(json)
    if b"\n" in data or b"\r" in data:
        data = msgspec.json.format(data, indent=-1)
    return msgspec.Raw(data)
