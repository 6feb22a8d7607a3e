"""One sentence on what to do about a failure that pauses a run."""

import pytest

from penstock.models import Failure, Fault
from penstock.policy.advice import advise


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (Failure(Fault.ACCOUNT, "", 401), "Check the key"),
        (Failure(Fault.ACCOUNT, "", 402), "Top up the account"),
        (Failure(Fault.ACCOUNT, "", 403), "check its permissions"),
        (Failure(Fault.ACCOUNT, "", 404), "Check the base URL"),
        (Failure(Fault.ACCOUNT, "", 404, "model_not_found"), "Check the model's name"),
        (Failure(Fault.ACCOUNT, "", 403, "model_not_found"), "Check the model's name"),
        (Failure(Fault.ACCOUNT, "", 429, "insufficient_quota"), "The quota is used up"),
        (Failure(Fault.ACCOUNT, "", 308, "redirect"), "Set the base URL to the address"),
        (Failure(Fault.ACCOUNT, "", None, "certificate"), "--ca-file"),
        (Failure(Fault.UNSENT, "", None, "too_many_files"), "ulimit -n"),
        (Failure(Fault.UNSENT, "", None, "refused"), "that the server is up"),
        (Failure(Fault.UNSENT, ""), "`penstock check` tries each"),
        (Failure(Fault.ACCOUNT, "", 401), "white space"),
        (Failure(Fault.ACCOUNT, "", 402), "wait until"),
        (Failure(Fault.OVERLOADED, "", 500), "in 1 to 5 minutes"),
        (Failure(Fault.OVERLOADED, "", 503), "in 1 to 5 minutes"),
        (Failure(Fault.THROTTLED, "", 429), "lower --concurrency or --rpm, or raise the plan"),
    ],
)
def test_the_advice_fits_the_trouble(failure: Failure, words: str) -> None:
    """The code says more than the status, and the status more than the class."""
    assert words in advise(failure)


@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("status", [None, 200, 301, 401, 418, 503])
def test_there_is_advice_for_everything(fault: Fault, status: int | None) -> None:
    """At least one whole sentence, also for what nobody has met yet."""
    advice = advise(Failure(fault, "", status, "unheard_of"))
    assert advice[0].isupper()
    assert advice.endswith(".")
