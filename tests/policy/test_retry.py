"""What follows from a failure, for every fault and history."""

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.models import Failure, Fault
from penstock.options import Ambiguous
from penstock.policy.advice import advise
from penstock.policy.retry import (
    FAILURE_BASE_S,
    FAILURE_CAP_S,
    FIRST_CONTACT_PATIENCE_S,
    THROTTLE_BASE_S,
    THROTTLE_CAP_S,
    Decision,
    GiveUp,
    History,
    Pause,
    Retry,
    RetryPolicy,
    decide,
)

POLICY = RetryPolicy(max_attempts=3, ambiguous="once", patience_s=900.0)
COUNTED = (Fault.OVERLOADED, Fault.AMBIGUOUS)


def after(
    fault: Fault,
    history: History,
    policy: RetryPolicy = POLICY,
    retry_after_s: float | None = None,
    draw: float = 0.5,
) -> Decision:
    """The decision on a failure of this class."""
    return decide(policy, Failure(fault, "it failed", retry_after_s=retry_after_s), history, draw)


@pytest.mark.parametrize("fault", [Fault.REJECTED, Fault.PARTIAL])
def test_what_can_never_succeed_fails_at_once(fault: Fault) -> None:
    """However many attempts are left."""
    assert after(fault, History(attempts=1)) == GiveUp()


@pytest.mark.parametrize("fault", [Fault.ACCOUNT, Fault.LOCAL])
@pytest.mark.parametrize("attempts", [1, 100])
def test_what_is_not_the_tasks_fault_pauses(fault: Fault, attempts: int) -> None:
    """With the provider's words and what to do; also when the attempts are used up, since the task stays pending."""
    decision = after(fault, History(attempts=attempts))
    assert isinstance(decision, Pause)
    assert decision.reason == "it failed"
    assert decision.hint


@pytest.mark.parametrize(("attempts", "expected"), [(1, Retry(0.25)), (2, Retry(0.5)), (3, GiveUp()), (4, GiveUp())])
def test_overloaded_backs_off_until_the_attempts_are_used_up(attempts: int, expected: Decision) -> None:
    """The window doubles; nobody else waits."""
    assert after(Fault.OVERLOADED, History(attempts=attempts)) == expected


@pytest.mark.parametrize("fault", COUNTED)
def test_a_single_attempt_is_a_single_attempt(fault: Fault) -> None:
    """With --max-attempts 1 nothing that counts is tried again."""
    assert after(fault, History(attempts=1, ambiguous=1), RetryPolicy(max_attempts=1, ambiguous="always")) == GiveUp()


@pytest.mark.parametrize(
    ("allowed", "ambiguous", "again"),
    [
        ("never", 1, False),
        ("once", 1, True),
        ("once", 2, False),
        ("once", 9, False),
        ("always", 1, True),
        ("always", 2, True),
        ("always", 5, False),
    ],
)
def test_what_may_have_been_billed_is_repeated_as_allowed(allowed: Ambiguous, ambiguous: int, again: bool) -> None:
    """Never, once, or for as long as there are attempts."""
    decision = after(
        Fault.AMBIGUOUS,
        History(attempts=ambiguous, ambiguous=ambiguous),
        RetryPolicy(max_attempts=5, ambiguous=allowed),
    )
    assert isinstance(decision, Retry) == again
    assert isinstance(decision, GiveUp) == (not again)


def test_overloads_before_do_not_use_up_the_ambiguous_repeat() -> None:
    """What was refused was not billed: only the attempts as a whole are bounded."""
    assert isinstance(after(Fault.AMBIGUOUS, History(attempts=2, ambiguous=1)), Retry)
    assert after(Fault.AMBIGUOUS, History(attempts=3, ambiguous=1)) == GiveUp()


@pytest.mark.parametrize(("throttled", "wait_s"), [(1, 0.5), (2, 1.0), (3, 2.0), (50, 30.0)])
def test_throttled_waits_longer_each_time(throttled: int, wait_s: float) -> None:
    """By its own count of throttles, whatever the attempts."""
    history = History(attempts=99, throttled=throttled)
    assert after(Fault.THROTTLED, history) == Retry(wait_s)


@pytest.mark.parametrize(("unsent", "wait_s"), [(1, 0.25), (2, 0.5), (50, 15.0)])
def test_unsent_backs_off_for_itself(unsent: int, wait_s: float) -> None:
    """By its own count, whatever the attempts; nobody else waits."""
    assert after(Fault.UNSENT, History(attempts=99, unsent=unsent)) == Retry(wait_s)


@pytest.mark.parametrize(
    ("reached", "unsent_s", "paused"),
    [
        (True, 0.0, False),
        (True, 899.9, False),
        (True, 900.0, True),
        (False, FIRST_CONTACT_PATIENCE_S - 0.1, False),
        (False, FIRST_CONTACT_PATIENCE_S, True),
    ],
)
def test_an_endpoint_that_is_not_reached_is_tried_with_patience(reached: bool, unsent_s: float, paused: bool) -> None:
    """Less of it where it never answered: then the address is wrong, more likely than not."""
    decision = after(Fault.UNSENT, History(attempts=0, unsent=5, unsent_s=unsent_s, reached=reached))
    assert isinstance(decision, Pause) == paused
    if isinstance(decision, Pause):
        assert decision.reason == f"it failed, for {unsent_s:.0f} s now"


def test_little_patience_holds_at_first_contact_too() -> None:
    """--patience 5 means five seconds, not thirty."""
    history = History(attempts=0, unsent=1, unsent_s=5.0, reached=False)
    assert isinstance(after(Fault.UNSENT, history, RetryPolicy(patience_s=5.0)), Pause)


@pytest.mark.parametrize("fault", [Fault.THROTTLED, *COUNTED])
def test_what_the_provider_asks_for_is_kept(fault: Fault) -> None:
    """A Retry-After on any failure, to the second."""
    decision = after(fault, History(attempts=1, ambiguous=1, throttled=1), retry_after_s=60.0, draw=0.0)
    assert decision == Retry(60.0)


@pytest.mark.parametrize("fault", [Fault.THROTTLED, *COUNTED])
@pytest.mark.parametrize(("asked_s", "paused"), [(900.0, False), (900.1, True), (86_400.0, True)])
def test_asked_to_wait_beyond_patience_the_run_pauses(fault: Fault, asked_s: float, paused: bool) -> None:
    """Rather than sit there for a day; the message says how long, and whose words they are."""
    decision = after(fault, History(attempts=1, ambiguous=1, throttled=1), retry_after_s=asked_s)
    assert isinstance(decision, Pause) == paused
    if isinstance(decision, Pause):
        assert (decision.reason, decision.asked_s) == ("it failed", asked_s)
        assert "--patience" in decision.hint


@pytest.mark.parametrize("fault", COUNTED)
def test_a_task_that_is_to_fail_does_not_pause_the_run(fault: Fault) -> None:
    """Its last attempt was asked to wait for a day, but nobody would wait for it."""
    assert after(fault, History(attempts=3, ambiguous=3), retry_after_s=86_400.0) == GiveUp()


@pytest.mark.parametrize(
    ("down_s", "expected"),
    [
        (0.0, GiveUp()),
        (0.1, Retry(1.0)),
        (899.9, Retry(1.0)),
        (900.0, Pause("it failed, and no answer for 900 s now", advise(Failure(Fault.OVERLOADED, "it failed")))),
    ],
)
def test_a_provider_that_answers_nobody_fails_no_task(down_s: float, expected: Decision) -> None:
    """Its outage is not the task's fault: beyond the attempts it is tried with patience, and then the run pauses."""
    assert after(Fault.OVERLOADED, History(attempts=3, down_s=down_s)) == expected


@pytest.mark.parametrize("down_s", [0.1, 10_000.0])
def test_an_outage_does_not_repeat_what_may_have_been_billed(down_s: float) -> None:
    """That is bounded whatever else is going on."""
    assert after(Fault.AMBIGUOUS, History(attempts=2, ambiguous=2, down_s=down_s)) == GiveUp()
    assert after(Fault.AMBIGUOUS, History(attempts=3, ambiguous=1, down_s=down_s)) == GiveUp()


HISTORIES = st.builds(
    History,
    attempts=st.integers(1, 50),
    ambiguous=st.integers(1, 50),
    throttled=st.integers(1, 5000),
    unsent=st.integers(1, 5000),
    unsent_s=st.floats(0, 100_000),
    reached=st.booleans(),
    down_s=st.floats(0, 100_000),
)
POLICIES = st.builds(
    RetryPolicy,
    max_attempts=st.integers(1, 20),
    ambiguous=st.sampled_from(["never", "once", "always"]),
    patience_s=st.floats(0.1, 100_000),
)
WAITS = st.none() | st.floats(0.001, 86_400)
DRAWS = st.floats(0, 1, exclude_max=True)


@given(st.sampled_from(Fault), HISTORIES, POLICIES, WAITS, DRAWS)
def test_a_wait_is_never_too_short_and_never_without_end(
    fault: Fault, history: History, policy: RetryPolicy, retry_after_s: float | None, draw: float
) -> None:
    """Every fault has a decision; a wait is at least what was asked for, and at most that and a tenth, or the cap."""
    decision = after(fault, history, policy, retry_after_s, draw)
    if isinstance(decision, Retry):
        asked_s = retry_after_s or 0.0
        assert math.isfinite(decision.after_s)
        assert asked_s <= decision.after_s <= max(THROTTLE_CAP_S, FAILURE_CAP_S, 1.1 * asked_s)


@given(
    POLICIES, st.lists(st.sampled_from([Fault.AMBIGUOUS, Fault.OVERLOADED]), min_size=100, max_size=100), WAITS, DRAWS
)
def test_what_may_have_been_billed_is_bounded(
    policy: RetryPolicy, faults: list[Fault], retry_after_s: float | None, draw: float
) -> None:
    """Whatever comes, a task ends within `max_attempts`, and within one or two ambiguous ones unless "always"."""
    sent = ambiguous = 0
    for fault in faults:
        sent, ambiguous = sent + 1, ambiguous + (fault is Fault.AMBIGUOUS)
        history = History(attempts=sent, ambiguous=ambiguous)
        if not isinstance(after(fault, history, policy, retry_after_s, draw), Retry):
            break
    assert sent <= policy.max_attempts
    assert ambiguous <= {"never": 1, "once": 2, "always": policy.max_attempts}[policy.ambiguous]


@given(HISTORIES, DRAWS)
def test_being_throttled_never_fails_a_task(history: History, draw: float) -> None:
    """Nor does it pause the run, as long as the provider does not ask for too much."""
    assert isinstance(after(Fault.THROTTLED, history, draw=draw), Retry)


def test_the_first_windows_are_those_that_are_documented() -> None:
    """A second for a throttle, half of one for a failure."""
    assert (THROTTLE_BASE_S, FAILURE_BASE_S) == (1.0, 0.5)


@pytest.mark.parametrize("fault", [Fault.THROTTLED, Fault.UNSENT, Fault.OVERLOADED, Fault.AMBIGUOUS])
def test_where_another_can_be_asked_nobody_waits(fault: Fault) -> None:
    """Neither for a back-off nor for what this provider asked for; the limits of attempts stay."""
    history = History(attempts=1, ambiguous=1, throttled=1, unsent=1, unsent_s=1e6, elsewhere=True)
    assert after(fault, history, retry_after_s=80_000.0) == Retry(0.0)
    spent = msgspec.structs.replace(history, attempts=99, ambiguous=9)
    assert after(fault, spent) == (GiveUp() if fault in (Fault.OVERLOADED, Fault.AMBIGUOUS) else Retry(0.0))


def test_a_refused_key_pauses_only_when_no_other_is_left() -> None:
    """While one is let in, the task goes there at once."""
    assert after(Fault.ACCOUNT, History(attempts=0, served=True)) == Retry(0.0)
    assert isinstance(after(Fault.ACCOUNT, History(attempts=0)), Pause)


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        (History(attempts=0, served=True, refused=1), Retry(0.25)),
        (History(attempts=0, served=True, refused=1, vouched=True, known=True), Retry(0.25)),
        (History(attempts=0, served=True, refused=2, known=True), Retry(0.5)),
        (History(attempts=0, served=True, refused=2, vouched=True, known=True), GiveUp()),
        (History(attempts=0, served=True, refused=5, known=True), GiveUp()),
        (History(attempts=0, served=True, refused=2, vouched=True, known=True, elsewhere=True), Retry(0.0)),
    ],
)
def test_a_task_that_alone_is_refused_fails(history: History, expected: Decision) -> None:
    """Not before the key has answered another, or refused this one again and again; with back-off between."""
    assert after(Fault.ACCOUNT, history) == expected


def test_a_key_that_answered_nobody_is_believed_to_be_refused() -> None:
    """Then the task stays pending."""
    assert isinstance(after(Fault.ACCOUNT, History(attempts=0, served=True, refused=5)), Pause)


def test_a_request_that_arrives_cut_short_is_sent_once_more() -> None:
    """The provider answered that it got half of it: twice is no chance."""
    failure = Failure(Fault.UNSENT, "unexpected end of data", 400, code="truncated_request")
    assert isinstance(decide(RetryPolicy(), failure, History(attempts=0, unsent=1), 0.5), Retry)
    assert decide(RetryPolicy(), failure, History(attempts=0, unsent=2), 0.5) == GiveUp()
