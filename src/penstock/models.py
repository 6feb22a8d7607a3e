"""The nouns of Penstock, all frozen. Their meanings are fixed in `docs/design.md`, section 2.

A row becomes a task, a task becomes a request, a request is sent in attempts, an attempt ends in a response or a
failure, and the last of them settles the task as a result.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Any

import msgspec


class Fault(StrEnum):
    """The closed list of what can go wrong with an attempt. Every policy switches on it, nothing else."""

    THROTTLED = "throttled"
    """Asked to wait: the shared gate waits, and the attempt does not count."""
    OVERLOADED = "overloaded"
    """The provider is failing fast: back off and try again."""
    UNSENT = "unsent"
    """The provider saw nothing (DNS, refused, TLS, connect time-out): retrying is free."""
    AMBIGUOUS = "ambiguous"
    """The request was sent and no answer came that can be trusted: it may have been billed."""
    REJECTED = "rejected"
    """This task can never succeed as it is."""
    PARTIAL = "partial"
    """An answer that stopped short: length, content filter, refusal."""
    ACCOUNT = "account"
    """Key, quota, permission or model: the account's fault, not the task's."""
    LOCAL = "local"
    """This machine: disk, open files, a sink."""


class Status(StrEnum):
    """How a task was settled."""

    OK = "ok"
    PARTIAL = "partial"
    FAILED = "failed"


FAILURE_FIELD = "_failure"
"""Holds what went wrong in a failed line, beside the row's own fields; taken away where the line is read again."""

Position = dict[str, Any]
"""Where a source stands, as plain JSON values; only the source that wrote it can read it."""


class Row(msgspec.Struct, frozen=True):
    """One record as the source gave it.

    `raw` is the record as a JSON object in bytes, `data` the same decoded; `where` says where it stands for a person
    ("tasks.jsonl:17"). A record that cannot be used has an `error` in words, and `raw` then holds
    `{"raw": "<the text, at most 1,000 characters>"}`.
    """

    raw: bytes
    data: dict[str, Any]
    where: str
    error: str | None = None


class Chunk(msgspec.Struct, frozen=True):
    """Consecutive rows and the source's position after the last of them."""

    rows: list[Row]
    position: Position


class Task(msgspec.Struct, frozen=True):
    """One row of work: `key` is stable across runs, `index` counts rows of the source from 0."""

    key: str
    index: int
    raw: bytes
    data: dict[str, Any]
    where: str
    error: str | None = None


class Request(msgspec.Struct, frozen=True):
    """What one call sends, before any endpoint is chosen.

    `api` names the entry of `apis.APIS` that decodes the answer, `path` is relative to the base URL
    ("chat/completions"), `body` is the JSON body, `model` the model it asks for ("" where there is none). `stream` says
    that the body asks for a streamed answer.
    """

    api: str
    path: str
    body: bytes
    model: str
    stream: bool = False


class Usage(msgspec.Struct, frozen=True, gc=False):
    """Tokens as the provider counted them. `cached_tokens` are part of the input, `reasoning_tokens` of the output."""

    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0


class HttpResponse(msgspec.Struct, frozen=True, gc=False):
    """A complete HTTP response. `header` looks a header up by name, ignoring case; None where there is none."""

    status: int
    body: bytes
    header: Callable[[str], str | None]


class Response(msgspec.Struct, frozen=True):
    """An answer that can be trusted: complete, without an error, and finished.

    `text` is the answer's text, or None where the API gives none; `output` then holds its JSON (embeddings,
    moderation results). `partial` says in one word why an answer stopped short ("length", "content_filter",
    "refusal"), None where it did not. `body` is the response body byte for byte, or what a streamed answer would have
    had for one. `ttft_ms` and `tokens_per_s` are of a streamed one; `engine/streaming.py` has how they are reckoned.
    """

    body: bytes
    model: str
    usage: Usage
    text: str | None = None
    finish_reason: str | None = None
    output: msgspec.Raw | None = None
    partial: str | None = None
    ttft_ms: float | None = None
    tokens_per_s: float | None = None


class Failure(msgspec.Struct, frozen=True):
    """An attempt that gave no answer. `excerpt` is at most 500 characters of the body, redacted.

    `code` is the provider's own error code, `retry_after_s` the wait it asked for, in seconds. Of a stream that broke
    off `excerpt` is the beginning of the answer, and `usage` what is known to have been used for it.
    """

    fault: Fault
    message: str
    status: int | None = None
    code: str | None = None
    retry_after_s: float | None = None
    excerpt: str | None = None
    usage: Usage | None = None
    ttft_ms: float | None = None


Outcome = Response | Failure


class Attempt(msgspec.Struct, frozen=True, omit_defaults=True):
    """One HTTP exchange with one endpoint. `fault` is None for the one that gave the answer.

    `cost` is what was spent on it, None where that is not known; `unknown_cost` what it may cost at most where it may
    have been billed and nothing is known of it.
    """

    endpoint: str
    started_at: float
    """Seconds since 1970 UTC."""
    latency_ms: float
    fault: Fault | None = None
    http_status: int | None = None
    message: str | None = None
    key: str = ""
    """The label of the key, never the key itself."""
    model: str = ""
    """The model that was asked for, where it is another than the task's."""
    cost: float | None = None
    unknown_cost: float = 0.0
    hedge: bool = False
    """One of two copies, dropped because the other was answered first."""
    ttft_ms: float | None = None
    """From sending to the first token, where the answer was streamed."""
    tokens_per_s: float | None = None
    """Tokens of the answer per second from the first token on, where it was streamed and they were counted."""
    usage: Usage | None = None
    """What a failed attempt is known to have used."""


class Result(msgspec.Struct, frozen=True):
    """The settled outcome of a task.

    `raw` is the row as a JSON object, `body` the answer byte for byte (empty for a failure). `queue_ms` is the time
    from acceptance to the first byte sent, `latency_ms` that of the last attempt. `cost` is what the task is known to
    have cost over all its attempts, in `currency`, and None where no price is known.
    """

    key: str
    index: int
    status: Status
    raw: bytes
    where: str = ""
    """Where the row stands in the source, for a person: "tasks.jsonl:17"."""
    api: str = ""
    model: str = ""
    endpoint: str = ""
    body: bytes = b""
    text: str | None = None
    output: msgspec.Raw | None = None
    finish_reason: str | None = None
    usage: Usage = Usage()
    cost: float | None = None
    currency: str = "USD"
    latency_ms: float = 0.0
    queue_ms: float = 0.0
    attempts: tuple[Attempt, ...] = ()
    finished_at: float = 0.0
    """Seconds since 1970 UTC."""
    failure: Failure | None = None
    """Set where `status` is failed."""

    @property
    def ttft_ms(self) -> float | None:
        """From sending to the first token of the last attempt; None where it was not streamed."""
        return self.attempts[-1].ttft_ms if self.attempts else None

    @property
    def tokens_per_s(self) -> float | None:
        """Tokens of the answer per second from the first one on; None where it was not streamed or not counted."""
        return self.attempts[-1].tokens_per_s if self.attempts else None

    @property
    def data(self) -> dict[str, Any]:
        """The task's row, decoded."""
        decoded: dict[str, Any] = msgspec.json.decode(self.raw)
        return decoded


class Settled(msgspec.Struct, frozen=True):
    """A result as the journal committed it: `seq` counts commits of this run from 1 and never repeats."""

    seq: int
    result: Result


class Totals(msgspec.Struct, frozen=True):
    """What a run has come to: its tasks by their current results, and what all its attempts have used and cost.

    `accepted` = `ok` + `partial` + `failed` + `pending`. `unknown` counts attempts that may have been billed without
    an answer: ambiguous ones, and calls that were in flight when the program was stopped or killed. `unknown_cost` is
    what those may cost at most, where it is known. What was spent on results that were superseded stays spent.
    """

    accepted: int = 0
    ok: int = 0
    partial: int = 0
    failed: int = 0
    faults: dict[str, int] = {}
    """Failed tasks by fault."""
    partials: dict[str, int] = {}
    """Partial answers by finish reason."""
    attempts: int = 0
    unknown: int = 0
    unknown_cost: float = 0.0
    usage: Usage = Usage()
    cost: float = 0.0
    unpriced: int = 0
    """Answers whose price is not known."""
    currency: str = "USD"
    ttft_ms: dict[str, int] = {}
    """Streamed answers by their time to the first token, in ms: {"394": 3} is about 394 ms, in steps of 5 %."""
    tokens_per_s: dict[str, int] = {}
    """The same by their tokens per second after it."""

    @property
    def settled(self) -> int:
        """Tasks with a result."""
        return self.ok + self.partial + self.failed

    @property
    def pending(self) -> int:
        """Tasks without one."""
        return self.accepted - self.settled
