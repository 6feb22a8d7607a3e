"""What a call's end says about the provider, in the words of flow control."""

from enum import StrEnum

import msgspec

from penstock.models import Failure, Fault, Outcome, Usage
from penstock.policy.faults import SLOW_DOWN

DEADLINES = frozenset({"timeout", "idle_timeout", "stalled"})
"""Codes of the transport for its own deadlines; see `penstock.transport.translate`."""
GIVEN_UP = "cancelled"
"""Its code for a call that was given up on this side."""
TOO_MANY_FILES = "too_many_files"
"""Its code for a call that this machine had no open file for."""
TOO_LARGE = "response_too_large"
"""Its code for an answer that came, but not to its end."""


class Kind(StrEnum):
    """The closed list of ends that flow control tells apart."""

    ANSWERED = "answered"
    REFUSED = "refused"
    """The provider is well, and does not want this task, or this account."""
    THROTTLED = "throttled"
    OVERLOADED = "overloaded"
    TIMED_OUT = "timed_out"
    """No answer within a deadline of our own."""
    BROKEN = "broken"
    """Sent, and then lost: reset, cut off, or failed at a gateway on the way."""
    UNSENT = "unsent"
    NO_ROOM = "no_room"
    """Not sent: this machine opens no more connections."""
    UNTOLD = "untold"
    """Nothing can be learned: given up by us, or failed on this machine."""


class Landing(msgspec.Struct, frozen=True, gc=False):
    """The end of a call that was sent at `sent_s`; times are on the monotonic clock.

    `reserved_tokens` were taken from the rate when it was sent; `tokens` are what it used, input and output, None
    where that is not known. `output_tokens` are those of the answer. `retry_after_s` is the wait that was asked for;
    `slow_down` says that the traffic grows too fast.
    """

    kind: Kind
    sent_s: float
    now_s: float
    reserved_tokens: int = 0
    tokens: int | None = None
    output_tokens: int = 0
    retry_after_s: float | None = None
    slow_down: bool = False


def landing_of(outcome: Outcome, sent_s: float, now_s: float, reserved_tokens: int = 0) -> Landing:
    """The landing that an outcome is."""
    if isinstance(outcome, Failure):
        return Landing(
            _kind_of(outcome),
            sent_s,
            now_s,
            reserved_tokens,
            tokens=_tokens(outcome.usage),
            retry_after_s=outcome.retry_after_s,
            slow_down=outcome.code == SLOW_DOWN,
        )
    usage = outcome.usage
    return Landing(Kind.ANSWERED, sent_s, now_s, reserved_tokens, _tokens(usage), usage.output_tokens)


def _tokens(usage: Usage | None) -> int | None:
    return None if usage is None else usage.input_tokens + usage.output_tokens or None


_KINDS = {
    Fault.THROTTLED: Kind.THROTTLED,
    Fault.OVERLOADED: Kind.OVERLOADED,
    Fault.UNSENT: Kind.UNSENT,
    Fault.AMBIGUOUS: Kind.BROKEN,
    Fault.REJECTED: Kind.REFUSED,
    Fault.PARTIAL: Kind.ANSWERED,
    Fault.ACCOUNT: Kind.REFUSED,
    Fault.LOCAL: Kind.UNTOLD,
}
_KINDS_OF_CODES = {**dict.fromkeys(DEADLINES, Kind.TIMED_OUT), GIVEN_UP: Kind.UNTOLD, TOO_LARGE: Kind.REFUSED}

_KINDS_OF_UNSENT = {"closed": Kind.UNTOLD, TOO_MANY_FILES: Kind.NO_ROOM}


def _kind_of(failure: Failure) -> Kind:
    if failure.fault is Fault.AMBIGUOUS and failure.code in _KINDS_OF_CODES:
        return _KINDS_OF_CODES[failure.code]
    if failure.fault is Fault.UNSENT and failure.code in _KINDS_OF_UNSENT:
        return _KINDS_OF_UNSENT[failure.code]
    return _KINDS[failure.fault]
