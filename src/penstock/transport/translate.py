"""From what the HTTP client raised to what is known of the request.

The classes of the client's exceptions mislead (a time-out after sending is a `ConnectTimeoutError`, a reset after
sending a `ConnectError`); their chain of causes tells the truth. `UNSENT` is said only where the chain proves that no
connection was made, so a wording that changes in a later version makes a failure `AMBIGUOUS`, never bought twice.
"""

from collections.abc import Callable

from pyreqwest.exceptions import (
    BuilderError,
    ClientClosedError,
    DecodeError,
    DetailedPyreqwestError,
    PyreqwestError,
    RequestTimeoutError,
)
from pyreqwest.response import Response

from penstock.models import Failure, Fault
from penstock.redaction import printable, redact
from penstock.transport.settings import TransportSettings

CLOSED = Failure(Fault.UNSENT, "the transport is closed", code="closed")
"""The failure of every call after `aclose`."""

_GARBAGE = "garbage", "the answer from {host} is not proper HTTP: {reason}"
_GIVEN_UP = "cancelled", "the call to {host} was given up"
_NO_CONNECTION = "client error (Connect)"
_BAD_CERTIFICATE = "invalid peer certificate: "

_UNSENT = (
    ("tunnel error", "proxy", "the proxy did not connect to {host}: {reason}"),
    ("socks proxy", "proxy", "the proxy did not connect to {host}: {reason}"),
    ("Name or service not known", "dns", "no such host: {host}"),
    ("nodename nor servname", "dns", "no such host: {host}"),
    ("dns error", "dns", "the name {host} could not be looked up: {reason}"),
    ("Connection refused", "refused", "connection refused by {host}"),
    ("deadline has elapsed", "connect_timeout", "no connection to {host} within {connect_timeout_s:g} s"),
    ("timed out", "connect_timeout", "no connection to {host} within {connect_timeout_s:g} s"),
    ("tcp connect error", "unreachable", "no connection to {host}: {reason}"),
)
_AMBIGUOUS = (
    ("closed before message completed", "reset", "{host} closed the connection without an answer"),
    ("end of file before message length", "short_body", "the answer from {host} broke off"),
    ("unexpected EOF", "short_body", "the answer from {host} broke off"),
    ("Connection reset", "reset", "{host} reset the connection"),
    ("(os error", "reset", "the connection to {host} was lost: {reason}"),
    ("request or response body error", *_GARBAGE),
)


def translate(error: Exception, settings: TransportSettings, elapsed_s: float, timeout_s: float) -> Failure:
    """The failure that `error` means. `elapsed_s` is the time since the call began, `timeout_s` its own deadline.

    Anything that is not from the HTTP client, and its `BuilderError`, means that no request could be built.
    """
    causes = _causes(error)
    if isinstance(error, BuilderError) or not isinstance(error, PyreqwestError):
        fault, code, message = Fault.REJECTED, "invalid_request", "the request's URL cannot be sent: {reason}"
    elif _NO_CONNECTION in causes:
        fault, code, message = _not_connected(causes, settings)
    else:
        fault, code, message = Fault.AMBIGUOUS, *_no_answer(error, causes, settings, elapsed_s < timeout_s)
    words = message.format(
        host=settings.host,
        reason=_reason(causes),
        timeout_s=timeout_s,
        idle_timeout_s=settings.idle_timeout_s,
        connect_timeout_s=settings.effective_connect_timeout_s,
    )
    return Failure(fault, _safe(words, settings), code=code)


def too_large(settings: TransportSettings, status: int) -> Failure:
    """The failure of a response whose body went beyond the limit. The provider has done the work."""
    limit = settings.max_response_bytes
    message = f"the answer from {settings.host} is larger than {limit:,} bytes"
    return Failure(Fault.AMBIGUOUS, message, status=status, code="response_too_large")


def stalled(settings: TransportSettings, status: int) -> Failure:
    """The failure of a response whose body drips or stands still. The provider has done the work."""
    rule = f"{settings.min_progress_bytes:,} bytes in {settings.progress_window_s:g} s"
    message = f"the answer from {settings.host} came to a standstill: less than {rule}"
    return Failure(Fault.AMBIGUOUS, message, status=status, code="stalled")


def given_up(settings: TransportSettings) -> Failure:
    """The failure of a call whose response was being read when the transport was closed."""
    code, message = _GIVEN_UP
    return Failure(Fault.AMBIGUOUS, message.format(host=settings.host), code=code)


def header_of(response: Response) -> Callable[[str], str | None]:
    """What looks up a header of a response."""

    def header(name: str) -> str | None:
        try:
            return response.get_header(name)
        except ValueError:  # not ASCII
            return None

    return header


def _not_connected(causes: list[str], settings: TransportSettings) -> tuple[Fault, str, str]:
    text = " ".join(causes)
    if "Too many open files" in text:
        return Fault.UNSENT, "too_many_files", "too many open files: raise ulimit -n, or lower --concurrency"
    if any(cause.startswith(_BAD_CERTIFICATE) for cause in causes):
        return Fault.ACCOUNT, "certificate", "the certificate of {host} is not trusted ({reason}); see --ca-file"
    for words, code, message in _UNSENT:
        if words in text:
            return Fault.UNSENT, code, message
    if settings.base_url.startswith("https:"):
        return Fault.UNSENT, "tls", "no TLS connection to {host}: {reason}"
    return Fault.UNSENT, "unreachable", "no connection to {host}: {reason}"


def _no_answer(error: PyreqwestError, causes: list[str], settings: TransportSettings, in_time: bool) -> tuple[str, str]:
    if isinstance(error, RequestTimeoutError):
        if settings.idle_timeout_s is not None and in_time:
            return "idle_timeout", "nothing came from {host} for {idle_timeout_s:g} s"
        return "timeout", "no answer from {host} within {timeout_s:g} s"
    if isinstance(error, ClientClosedError):
        return _GIVEN_UP
    text = " ".join(causes)
    for words, code, message in _AMBIGUOUS:
        if words in text:
            return code, message
    if isinstance(error, DecodeError):
        return _GARBAGE
    return "client", "the HTTP client failed while calling {host}: {reason}"


def _causes(error: Exception) -> list[str]:
    """The chain of causes without its first link where that only repeats the URL, which a row may have chosen."""
    if not isinstance(error, DetailedPyreqwestError):
        return [str(error)]
    causes = [cause["message"] for cause in error.details["causes"] or ()]
    return [cause for cause in causes if " for url (" not in cause] or [error.message]


def _reason(causes: list[str]) -> str:
    """The innermost cause in few words."""
    reason = causes[-1].removeprefix(_BAD_CERTIFICATE).removeprefix("tunnel error: ")
    return reason.partition(" (os error")[0].partition(": verification time")[0]


def _safe(message: str, settings: TransportSettings) -> str:
    secrets = (settings.api_key,) if settings.api_key else ()
    return redact(printable(message), secrets)
