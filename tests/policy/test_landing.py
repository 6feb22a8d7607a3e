"""What the end of a call says about the provider."""

import pytest

from penstock.models import Failure, Fault, Response, Usage
from penstock.policy.deadline import TIMEOUTS
from penstock.policy.landing import Kind, Landing, landing_of


@pytest.mark.parametrize(
    ("fault", "code", "kind"),
    [
        (Fault.THROTTLED, None, Kind.THROTTLED),
        (Fault.OVERLOADED, None, Kind.OVERLOADED),
        (Fault.UNSENT, "refused", Kind.UNSENT),
        (Fault.UNSENT, "closed", Kind.UNTOLD),
        (Fault.UNSENT, "too_many_files", Kind.NO_ROOM),
        (Fault.AMBIGUOUS, None, Kind.BROKEN),
        (Fault.AMBIGUOUS, "cancelled", Kind.UNTOLD),
        (Fault.AMBIGUOUS, "response_too_large", Kind.REFUSED),
        *((Fault.AMBIGUOUS, code, Kind.TIMED_OUT) for code in sorted(TIMEOUTS)),
        (Fault.OVERLOADED, "timeout", Kind.OVERLOADED),
        (Fault.REJECTED, None, Kind.REFUSED),
        (Fault.ACCOUNT, None, Kind.REFUSED),
        (Fault.PARTIAL, None, Kind.ANSWERED),
        (Fault.LOCAL, None, Kind.UNTOLD),
    ],
)
def test_each_failure_is_one_kind_of_end(fault: Fault, code: str | None, kind: Kind) -> None:
    """By its fault, and where that tells too little, by its code."""
    assert landing_of(Failure(fault, "words", code=code), 1.0, 2.0).kind is kind


@pytest.mark.parametrize("fault", list(Fault))
def test_every_fault_has_a_kind(fault: Fault) -> None:
    """The list of faults is closed, and none is forgotten."""
    assert landing_of(Failure(fault, "words"), 1.0, 2.0).kind in Kind


def test_an_answer_tells_what_it_used() -> None:
    """Input and output together count for the rate, output for what was delivered."""
    answer = Response(b"", "m", Usage(input_tokens=10, output_tokens=5))
    assert landing_of(answer, 1.0, 2.0, 40) == Landing(Kind.ANSWERED, 1.0, 2.0, 40, 15, 5)


def test_an_answer_without_usage_leaves_what_was_reserved() -> None:
    """No provider answers for nothing: no tokens means that they are not known."""
    assert landing_of(Response(b"", "m", Usage()), 1.0, 2.0, 40).tokens is None


def test_a_failure_tells_how_long_to_wait() -> None:
    """And whether the traffic grows too fast."""
    failure = Failure(Fault.THROTTLED, "words", status=429, code="slow_down", retry_after_s=7.0)
    landing = landing_of(failure, 1.0, 2.0, 40)
    assert (landing.retry_after_s, landing.slow_down, landing.reserved_tokens) == (7.0, True, 40)
    assert not landing_of(Failure(Fault.THROTTLED, "words", status=429), 1.0, 2.0).slow_down
