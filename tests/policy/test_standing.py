"""The standing of accounts and models: when one is out, and when it may try again."""

import pytest

from penstock.models import Failure, Fault
from penstock.policy.standing import FIRST_PAUSE_S, LONGEST_PAUSE_S, TRIAL_S, Standing

WRONG_KEY = Failure(Fault.ACCOUNT, "Incorrect API key provided", 401, "invalid_api_key")
NO_MODEL = Failure(Fault.ACCOUNT, "The model does not exist", 404, "model_not_found")


def of_money(status: int, code: str) -> Failure:
    """A failure that says that money has run out."""
    return Failure(Fault.ACCOUNT, "pay first", status, code)


def answering() -> Standing:
    """One that has answered this process."""
    standing = Standing()
    standing.answered(0.0, 0.0)
    return standing


@pytest.mark.parametrize("failure", [WRONG_KEY, NO_MODEL, of_money(402, "insufficient_balance")])
def test_who_never_answered_is_out_at_once(failure: Failure) -> None:
    """The first refusal is believed: nothing speaks against it."""
    standing = Standing()
    assert standing.refuse(10.0, failure, 1)
    assert standing.out_until_s(10.0) == 10.0 + FIRST_PAUSE_S
    assert standing.failure == failure


@pytest.mark.parametrize("status", [401, 403, 404])
def test_after_an_answer_a_refusal_needs_to_be_confirmed(status: int) -> None:
    """Providers refuse a good key for a moment when their own store of keys is in trouble."""
    standing = answering()
    failure = Failure(Fault.ACCOUNT, "no", status)
    assert not standing.refuse(1.0, failure, 1)
    assert standing.out_until_s(1.0) == 0.0
    assert standing.failure == failure
    assert not standing.refuse(1.5, failure, 2)
    assert standing.refuse(2.0, failure, 3)
    assert standing.out_until_s(2.0) == 2.0 + FIRST_PAUSE_S


def test_one_task_confirms_nothing_by_itself() -> None:
    """However often it is refused: it may be the task that the provider does not want."""
    standing = answering()
    for second in range(1, 50):
        assert not standing.refuse(float(second), WRONG_KEY, 1)
    assert standing.is_in(50.0)


def test_who_answered_an_earlier_process_is_not_out_at_once() -> None:
    """The row that is refused may be the first that a resumed run sends."""
    standing = Standing(trusted=True)
    assert not standing.refuse(1.0, WRONG_KEY, 1)
    assert standing.answered_sent_s is None


def test_an_answer_tells_when_its_call_was_sent() -> None:
    """The latest of them, in whatever order they come back."""
    standing = Standing()
    standing.answered(9.0, 5.0)
    standing.answered(9.5, 3.0)
    assert standing.answered_sent_s == 5.0


def test_an_answer_between_two_refusals_speaks_for_it() -> None:
    """Only refusals in a row are a confirmation."""
    standing = answering()
    for task, now_s in enumerate((1.0, 3.0, 5.0)):
        assert not standing.refuse(now_s, WRONG_KEY, task)
        standing.answered(now_s + 1, now_s + 1)
        assert standing.failure is None


@pytest.mark.parametrize(
    "failure",
    [
        of_money(402, "payment_required"),
        of_money(429, "insufficient_quota"),
        of_money(403, "insufficient_user_quota"),
        of_money(403, "AllocationQuota.FreeTierOnly"),
        of_money(400, "Arrearage"),
        of_money(401, "billing_not_active"),
        of_money(403, "AccountOverdueError"),
        of_money(429, "SetLimitExceeded"),
        Failure(Fault.ACCOUNT, "the certificate has expired", None, "certificate"),
    ],
)
def test_money_and_certificates_need_no_confirmation(failure: Failure) -> None:
    """They say themselves that they will not pass."""
    assert answering().refuse(1.0, failure, 1)


def test_what_was_in_flight_changes_nothing() -> None:
    """Neither thousands of further refusals, nor answers to calls that were let in before."""
    standing = Standing()
    assert standing.refuse(0.0, WRONG_KEY, 1)
    for second in range(1, 100):
        assert standing.refuse(float(second), NO_MODEL, 1)
        standing.answered(float(second), float(second))
    assert standing.out_until_s(100.0) == FIRST_PAUSE_S
    assert standing.failure == WRONG_KEY


def test_each_further_refusal_doubles_the_pause_up_to_an_hour() -> None:
    """One failure after a pause is enough, also where it answered once."""
    standing, now_s, pauses = answering(), 1.0, []
    standing.refuse(now_s, WRONG_KEY, 1)
    standing.refuse(now_s, WRONG_KEY, 2)
    for _ in range(6):
        assert standing.refuse(now_s, WRONG_KEY, 3)
        until_s = standing.out_until_s(now_s)
        pauses.append(until_s - now_s)
        now_s = until_s
        assert standing.out_until_s(now_s) == 0.0
        standing.start(now_s)
    assert pauses == [300.0, 600.0, 1_200.0, 2_400.0, LONGEST_PAUSE_S, LONGEST_PAUSE_S]


def test_a_time_that_the_provider_names_is_a_floor() -> None:
    """It is not asked again before, and not more often than otherwise."""
    standing = Standing()
    standing.refuse(0.0, Failure(Fault.ACCOUNT, "tomorrow", 429, "insufficient_quota", retry_after_s=86_400.0), 1)
    assert standing.out_until_s(0.0) == 86_400.0
    standing = Standing()
    standing.refuse(0.0, Failure(Fault.ACCOUNT, "soon", 429, "insufficient_quota", retry_after_s=1.0), 1)
    assert standing.out_until_s(0.0) == FIRST_PAUSE_S


def test_one_call_tries_again_and_the_others_wait_for_it() -> None:
    """Not the thousands that a run has at hand. If nothing is heard of it, another may."""
    standing = Standing()
    standing.refuse(0.0, WRONG_KEY, 1)
    standing.start(FIRST_PAUSE_S)
    assert standing.out_until_s(FIRST_PAUSE_S) == FIRST_PAUSE_S + TRIAL_S
    assert standing.out_until_s(FIRST_PAUSE_S + TRIAL_S) == 0.0


def test_an_answer_lets_it_in_for_good() -> None:
    """The pause is short again the next time, and a refusal has to be confirmed again."""
    standing = Standing()
    standing.refuse(0.0, WRONG_KEY, 1)
    standing.start(300.0)
    standing.answered(301.0, 301.0)
    assert standing.out_until_s(301.0) == 0.0
    assert standing.failure is None
    assert not standing.refuse(302.0, WRONG_KEY, 1)
    assert not standing.refuse(302.5, WRONG_KEY, 2)
    assert standing.refuse(303.0, WRONG_KEY, 3)
    assert standing.out_until_s(303.0) == 303.0 + FIRST_PAUSE_S


def test_a_person_can_let_it_in() -> None:
    """Whoever has topped up need not wait for the pause to end."""
    standing = Standing()
    standing.refuse(0.0, of_money(402, "insufficient_balance"), 1)
    standing.put_back()
    assert standing.out_until_s(0.0) == 0.0
    assert standing.failure is None


def test_calls_of_one_in_good_standing_do_not_wait_for_each_other() -> None:
    """There is no trial without a pause before it."""
    standing = answering()
    standing.refuse(1.0, WRONG_KEY, 1)
    standing.start(2.0)
    assert standing.out_until_s(2.0) == 0.0
