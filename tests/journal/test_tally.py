"""The totals of a run, folded one result at a time."""

from penstock.journal.tally import Tally
from penstock.models import Attempt, Failure, Fault, Result, Status, Totals, Usage

CUT = Attempt("e", 1.0, 2.0, Fault.AMBIGUOUS, cost=0.5, unknown_cost=0.25, usage=Usage(input_tokens=5, output_tokens=2))
ANSWER = Attempt("e", 1.0, 2.0)


def totals_of(*results: Result) -> Totals:
    """What these come to."""
    tally = Tally(Totals())
    for result in results:
        tally.add(result.status, result)
    return tally.totals()


def test_tokens_of_streams_that_broke_off_count() -> None:
    """Beside those of the answer, and where there is none."""
    answered = Result("a", 0, Status.OK, b"{}", usage=Usage(5, 0, 7, 0), cost=1.5, attempts=(CUT, ANSWER))
    failed = Result("b", 1, Status.FAILED, b"{}", attempts=(CUT,), failure=Failure(Fault.AMBIGUOUS, "cut"))
    totals = totals_of(answered, failed)
    assert totals.usage == Usage(input_tokens=15, output_tokens=11)
    assert (totals.unknown, totals.unknown_cost) == (2, 0.5)


def test_an_answer_whose_tokens_nobody_counted_may_have_cost_what_was_set_aside() -> None:
    """It is no attempt without an answer, and has no price."""
    attempt = Attempt("e", 1.0, 2.0, unknown_cost=0.25)
    totals = totals_of(Result("a", 0, Status.OK, b"{}", attempts=(attempt,)))
    assert (totals.unknown, totals.unknown_cost, totals.unpriced, totals.cost) == (0, 0.25, 1, 0.0)


def test_the_times_of_answers_are_counted() -> None:
    """Of the attempt that gave the answer; an answer that was not streamed has none, and a failure does not count."""
    fast, slow = Attempt("e", 1.0, 2.0, ttft_ms=100.0, tokens_per_s=40.0), Attempt("e", 1.0, 2.0, ttft_ms=400.0)
    failure = Failure(Fault.AMBIGUOUS, "cut")
    totals = totals_of(
        Result("a", 0, Status.OK, b"{}", attempts=(CUT, fast)),
        Result("b", 1, Status.OK, b"{}", attempts=(slow,)),
        Result("c", 2, Status.OK, b"{}", attempts=(ANSWER,)),
        Result("d", 3, Status.FAILED, b"{}", attempts=(slow,), failure=failure),
    )
    assert totals.ttft_ms == {"101": 1, "394": 1}
    assert totals.tokens_per_s == {"39.8": 1}
