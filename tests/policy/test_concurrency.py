"""How many calls may be in flight."""

from collections.abc import Callable

import pytest

from penstock.policy.changes import Changes
from penstock.policy.concurrency import START, Concurrency
from penstock.policy.landing import Kind, Landing

TOKENS = 100


def live(
    concurrency: Concurrency,
    rounds: int,
    latency_s: Callable[[int], float] = lambda in_flight: 1.0,
    *,
    used: float = 1.0,
    kind: Kind = Kind.ANSWERED,
    begin_s: float = 0.0,
) -> float:
    """Keep a share of the limit in flight for so many rounds of calls that land together; the moment when it ends."""
    now_s = begin_s
    for _ in range(rounds):
        in_flight = max(1, int(used * concurrency.limit))
        sent_s, now_s = now_s, now_s + latency_s(in_flight)
        for _ in range(in_flight):
            concurrency.start(in_flight)
            concurrency.land(now_s, Landing(kind, sent_s, now_s, output_tokens=TOKENS), in_flight)
    return now_s


def crowded(in_flight: int) -> float:
    """Seconds that a call takes at a machine that serves a hundred at full speed."""
    return max(1.0, in_flight / 100)


def test_a_number_is_kept_exactly() -> None:
    """Whatever the calls come to."""
    concurrency = Concurrency(7, 5_000, Changes())
    live(concurrency, 10)
    live(concurrency, 10, kind=Kind.TIMED_OUT, begin_s=100.0)
    assert concurrency.limit == 7


def test_it_begins_with_twenty_and_doubles_while_that_brings_more() -> None:
    """Up to the ceiling, and never beyond."""
    concurrency = Concurrency(None, 100, Changes())
    assert concurrency.limit == START
    live(concurrency, 1)
    assert concurrency.limit == 2 * START
    live(concurrency, 20, begin_s=100.0)
    assert concurrency.limit == 100


def test_the_ceiling_holds_from_the_first_call_on() -> None:
    """It may be below what auto begins with."""
    assert Concurrency(None, 3, Changes()).limit == 3


def test_growth_goes_on_when_the_ceiling_is_raised() -> None:
    """Where the ceiling had ended it; and what is above a lower one is given up at once."""
    changes = Changes()
    concurrency = Concurrency(None, 30, changes)
    now_s = live(concurrency, 40)
    assert concurrency.limit == 30
    concurrency.set_ceiling(now_s, 300)
    now_s = live(concurrency, 10, begin_s=now_s)
    assert concurrency.limit == 300
    concurrency.set_ceiling(now_s, 50)
    assert concurrency.limit == 50
    assert changes.last()[-1].why == "set by the user"
    live(concurrency, 200, begin_s=now_s)
    assert concurrency.limit == 50


def test_a_limit_that_is_not_used_is_not_raised() -> None:
    """Nothing is known of what it would bring."""
    concurrency = Concurrency(None, 5_000, Changes())
    live(concurrency, 20, used=0.5)
    assert concurrency.limit == START


def test_growth_ends_where_more_bring_nothing() -> None:
    """A machine that serves a hundred at full speed is kept busy, without a long queue before it."""
    concurrency = Concurrency(None, 5_000, Changes())
    live(concurrency, 200, crowded)
    assert 90 <= concurrency.limit <= 140


def test_long_and_short_answers_are_no_reason_to_stop() -> None:
    """Latency alone decides nothing: here every other round takes ten times as long, and brings ten times as much."""
    concurrency = Concurrency(None, 500, Changes())
    now_s = 0.0
    for turn in range(60):
        latency_s, tokens = (10.0, 1_000) if turn % 2 else (1.0, 100)
        sent_s, now_s, in_flight = now_s, now_s + latency_s, concurrency.limit
        for _ in range(in_flight):
            concurrency.land(now_s, Landing(Kind.ANSWERED, sent_s, now_s, output_tokens=tokens), in_flight)
    assert concurrency.limit == 500


def test_time_outs_lower_the_limit_once_and_say_why() -> None:
    """By three tenths for all that were in flight together."""
    changes = Changes()
    concurrency = Concurrency(None, 5_000, changes)
    now_s = live(concurrency, 1, used=0.5)
    before = concurrency.limit
    live(concurrency, 1, lambda in_flight: 30.0, kind=Kind.TIMED_OUT, begin_s=now_s)
    assert concurrency.limit == int(0.7 * before)
    assert changes.last()[-1].why == "too many calls of the last minute timed out"


def test_the_limit_never_falls_below_one() -> None:
    """However long nothing but time-outs is heard."""
    concurrency = Concurrency(None, 5_000, Changes())
    live(concurrency, 100, lambda in_flight: 30.0, kind=Kind.TIMED_OUT)
    assert concurrency.limit >= 1


@pytest.mark.parametrize("kind", [Kind.OVERLOADED, Kind.BROKEN, Kind.UNSENT, Kind.REFUSED, Kind.UNTOLD])
def test_other_failures_change_nothing(kind: Kind) -> None:
    """They are the breaker's, or nobody's."""
    concurrency = Concurrency(None, 5_000, Changes())
    live(concurrency, 20, kind=kind)
    assert concurrency.limit == START


def test_a_number_can_be_set_and_given_up_again() -> None:
    """Auto goes on from there, and learns anew."""
    changes = Changes()
    concurrency = Concurrency(None, 5_000, changes)
    concurrency.fix(10.0, 7)
    assert concurrency.limit == 7
    assert changes.last()[-1].why == "set by the user"
    concurrency.fix(20.0, None)
    assert concurrency.limit == 7
    live(concurrency, 10, begin_s=20.0)
    assert concurrency.limit > START


def test_a_provider_that_counts_calls_in_flight_is_recognised() -> None:
    """The same number turned away three times in a row, and none let in beyond it, is a limit of its own."""
    concurrency = Concurrency(None, 5_000, Changes())
    for second in (0, 10, 20):
        for in_flight in range(1, 13):
            concurrency.start(in_flight)
        concurrency.throttled(second + 1.0, float(second), 12)
    assert concurrency.limit == 11
