"""What can be made to go wrong, and the small language that says so.

A fault is written as `name=value` pairs with commas between: `status=503,retry_after=2`. The names are the fields of
`InjectedFault`, and they combine: `status=502,body=html,drip_per_s=100`. `header.NAME=value` is any header, and `raw=`
takes all that follows it, commas too. The language is spoken in four places:

- in a request, whose last user message, `input` or `prompt` holds `[[fault:status=503,times=2]]`. Several such markers
  follow one another: the second begins when the `times` of the first are used up;
- in a rate, `0.05:status=503`: this share of the attempts, chosen by seed and request;
- in an outage, `10-20:status=529`: everything from 10 to 20 seconds after the start (`outages`);
- in the death of a key, `sk-one:100:status=402`: all that this key asks after its hundredth request (`keys`).
"""

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import formatdate
from functools import lru_cache
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from penstock.errors import UsageError
from penstock.simulator.chance import uniform

_MARKER = re.compile(r"\[\[fault:(.*?)\]\]", re.DOTALL)
_MOMENT = re.compile(r"(date|iso|epoch|epoch_ms)([+-]\d+(?:\.\d+)?)")
_RAW = re.compile(r"(?:^|,)\s*raw=(.*)", re.DOTALL)
_HEADER = "header."
_HINT = "A fault looks like status=503,retry_after=2,times=1"


BodyFault = Literal[
    "html",
    "text",
    "error",
    "empty",
    "bad_json",
    "bad_utf8",
    "no_choices",
    "oversized",
    "bomb",
    "deep",
    "digits",
    "no_http",
    "whole",
]
UNBILLED_BODIES = ("html", "text", "error", "no_http")
"""Bodies that come from elsewhere than the model."""


class InjectedFault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One way to fail. Without any field set it is no fault at all."""

    status: Annotated[int, Meta(ge=200, le=599)] | None = None
    """From 300 on an error with the usual body of that status; below, the answer itself under that status."""
    code: str | None = None
    """`code` of the error object."""
    type: str | None = None
    """`type` of the error object."""
    message: str | None = None
    """`message` of the error object."""
    retry_after: str | None = None
    """Header, sent as it stands, but for moments: `date+30` becomes the HTTP date in 30 seconds, `date-30` that of 30
    seconds ago; `iso+30`, `epoch+30` and `epoch_ms+30` are the same in other forms. So it is in every header."""
    retry_after_ms: str | None = None
    """Header, sent as it stands."""
    reset_requests: str | None = None
    """Header x-ratelimit-reset-requests, sent as it stands."""
    reset_tokens: str | None = None
    """Header x-ratelimit-reset-tokens, sent as it stands."""
    header: tuple[tuple[str, str], ...] = ()
    """Any other headers, written `header.NAME=value`."""
    raw: str | None = None
    """The body, word for word; the last of the pairs, since it takes all that follows."""
    body: BodyFault | None = None
    """What stands in place of the answer; `error` is an error object under status 200, `whole` the answer in one piece
    though a stream was asked for."""
    mb: Annotated[int, Meta(ge=1)] = 8
    """Size of an `oversized` body, and of a `bomb` when it is unpacked, in MB."""
    finish: str | None = None
    """Finish reason; `refusal` has the shape of one, `missing` leaves it out (a stream then just ends), and so does
    `unsaid`, but for the `[DONE]` of a stream."""
    delay_ms: Annotated[float, Meta(ge=0)] = 0.0
    """Wait before the head, on top of the usual latency."""
    drip_per_s: Annotated[float, Meta(gt=0)] | None = None
    """Bytes of the body per second, sent one at a time."""
    stall: Literal["head", "body"] | None = None
    """Fall silent before the head, or half-way through the body, and keep the connection open."""
    reset: Literal["before", "after", "answer"] | None = None
    """Reset the connection: before the request is taken, after it was, or half-way through the answer."""
    close: Literal["before", "after"] | None = None
    """Close the connection in good order, without an answer: before the request is taken, or after it was."""
    short_bytes: Annotated[int, Meta(ge=1)] | None = None
    """Close the connection this many bytes before the promised end."""
    keep_alives: Annotated[int, Meta(ge=0)] = 0
    """So many comments stand before the first event of a stream, as while an answer waits in a queue."""
    cut_after: Annotated[int, Meta(ge=0)] | None = None
    """A stream ends in good order after so many events."""
    error_after: Annotated[int, Meta(ge=0)] | None = None
    """After so many events of a stream comes one with an error of the given code, type and message, and no more."""
    times: Annotated[int, Meta(ge=1)] | None = None
    """Only the first so many attempts of a request; None: all of them."""

    @property
    def refuses(self) -> bool:
        """Whether no answer is ever produced, so that nothing is billed."""
        refused = (self.status or 200) >= 300 or self.body in UNBILLED_BODIES or self.raw is not None
        return refused or "before" in (self.reset, self.close)

    def covers(self, attempt: int) -> bool:
        """Whether `times` reaches as far as this attempt, counted from 1."""
        return self.times is None or attempt <= self.times

    def headers(self, now_unix_s: float) -> dict[str, str]:
        """The response headers it asks for."""
        named = {
            "retry-after": self.retry_after,
            "retry-after-ms": self.retry_after_ms,
            "x-ratelimit-reset-requests": self.reset_requests,
            "x-ratelimit-reset-tokens": self.reset_tokens,
            "content-encoding": "gzip" if self.body == "bomb" else None,
        } | dict(self.header)
        return {name: _dated(value, now_unix_s) for name, value in named.items() if value is not None}

    def wait_s(self) -> float:
        """How long it asks the client to wait, in seconds; 0 where it does not, or not in earnest."""
        if self.retry_after_ms is not None:
            return _earnest_s(self.retry_after_ms) / 1000
        moment = _MOMENT.fullmatch(self.retry_after or "")
        return _earnest_s(moment[2] if moment else self.retry_after or "")


class FaultRate(msgspec.Struct, frozen=True):
    """A share of attempts that fail: `rate` from 0 to 1."""

    rate: float
    fault: InjectedFault


NO_FAULT = InjectedFault()


@lru_cache(maxsize=1024)
def parse_fault(text: str) -> InjectedFault:
    """The fault that `name=value,name=value` means. Raises `UsageError`."""
    pairs: dict[str, Any] = {}
    raw = _RAW.search(text)
    if raw is not None:
        pairs["raw"] = raw[1]
    head = text if raw is None else text[: raw.start()]
    for item in head.split(",") if head or raw is None else ():
        name, equals, value = item.partition("=")
        if not equals:
            raise UsageError(f"{item.strip()!r} in the fault {text!r} is not name=value.", _HINT)
        if name.strip().startswith(_HEADER):
            header = (name.strip().removeprefix(_HEADER).lower(), value.strip())
            pairs["header"] = (*pairs.get("header", ()), header)
        else:
            pairs[name.strip()] = value.strip()
    try:
        return msgspec.convert(pairs, InjectedFault, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(f"The fault {text!r} cannot be understood: {error}.", _HINT) from None


def parse_fault_rate(text: str) -> FaultRate:
    """Read `0.05:status=503`. Raises `UsageError`."""
    rate, _, fault = text.partition(":")
    if not _is_number(rate) or not 0 <= float(rate) <= 1:
        raise UsageError(f"{text!r} does not begin with a rate from 0 to 1.", "It looks like 0.05:status=503")
    return FaultRate(float(rate), parse_fault(fault))


def scripted_fault(text: str, attempt: int) -> InjectedFault | None:
    """The fault that the markers in `text` ask for at this attempt, counted from 1. Raises `UsageError`."""
    for marker in _MARKER.findall(text):
        fault = parse_fault(marker)
        if fault.covers(attempt):
            return fault
        attempt -= fault.times or 0
    return None


def drawn_fault(rates: Sequence[FaultRate], seed: int, fingerprint: bytes, attempt: int) -> InjectedFault | None:
    """The first of `rates` that chance picks for this attempt, counted from 1."""
    for place, candidate in enumerate(rates):
        if candidate.fault.covers(attempt) and uniform(seed, f"fault{place}", fingerprint, attempt) < candidate.rate:
            return candidate.fault
    return None


def _dated(value: str, now_unix_s: float) -> str:
    if (found := _MOMENT.fullmatch(value)) is None:
        return value
    moment_s = now_unix_s + float(found[2])
    match found[1]:
        case "date":
            return formatdate(math.ceil(moment_s), usegmt=True)
        case "iso":
            return datetime.fromtimestamp(moment_s, UTC).isoformat()
        case "epoch":
            return f"{moment_s:.3f}"
        case _:
            return f"{moment_s * 1_000:.0f}"


def _earnest_s(value: str) -> float:
    seconds = float(value) if _is_number(value) else 0.0
    return seconds if 0 < seconds <= 86_400 else 0.0


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[+-]?\d+(\.\d+)?", text.strip()) is not None
