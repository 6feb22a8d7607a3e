"""What to do after a failed attempt, decided from values alone: no clock, no randomness, no waiting."""

import msgspec

from penstock.models import Failure, Fault
from penstock.options import Ambiguous
from penstock.policy.advice import advise
from penstock.policy.backoff import backoff_s
from penstock.policy.landing import TOO_MANY_FILES

THROTTLE_BASE_S, THROTTLE_CAP_S = 1.0, 60.0
FAILURE_BASE_S, FAILURE_CAP_S = 0.5, 30.0
WAIT_HINT = "Run the same command again after that time, or raise --patience."
REFUSED_ALONE, REFUSED_UNANSWERED = 2, 5
"""A task fails when one key has refused it so often, which answered a call that was sent between, or answered none."""
FIRST_CONTACT_PATIENCE_S = 30.0
"""An endpoint that never answered this process is given up sooner: it is more likely a wrong address than an outage."""


class RetryPolicy(msgspec.Struct, frozen=True):
    """The user's limits; see the options of the same names."""

    max_attempts: int = 5
    ambiguous: Ambiguous = "once"
    patience_s: float = 900.0
    timeout_s: float = 600.0

    def patience_for(self, reached: bool) -> float:
        """Seconds that an endpoint is tried which cannot be reached, and which answered this process before or not."""
        return self.patience_s if reached else min(self.patience_s, FIRST_CONTACT_PATIENCE_S)


class History(msgspec.Struct, frozen=True):
    """What a task has been through, the attempt in question included.

    `attempts` counts those that count; `ambiguous`, `throttled` and `unsent` count attempts that ended so. `unsent_s`
    is how long no endpoint has been reached; `reached` says whether one ever answered this process. `down_s` is
    how long nobody has been answered, 0 where somebody was since this task's attempt before. `served` says whether a
    key that is let in can still serve the task, `elsewhere` whether there is a healthy one that it has not tried.
    `refused` counts how often the key in question refused this task and is let in all the same; `vouched` says whether
    that key has answered a call that was sent after the first of these, `known` whether it ever answered this process.
    """

    attempts: int
    ambiguous: int = 0
    throttled: int = 0
    unsent: int = 0
    unsent_s: float = 0.0
    reached: bool = True
    down_s: float = 0.0
    served: bool = False
    elsewhere: bool = False
    refused: int = 0
    vouched: bool = False
    known: bool = False


class Retry(msgspec.Struct, frozen=True):
    """Try again, not before `after_s` seconds."""

    after_s: float


class GiveUp(msgspec.Struct, frozen=True):
    """The task has failed."""


class Pause(msgspec.Struct, frozen=True):
    """The run cannot go on; the task stays pending. `reason` and `hint` are for the user.

    `asked_s` are the seconds from now on that the provider asks to wait, where that is why.
    """

    reason: str
    hint: str
    asked_s: float | None = None


Decision = Retry | GiveUp | Pause


def decide(policy: RetryPolicy, failure: Failure, history: History, draw: float) -> Decision:
    """What follows from a failure; `draw` is a random number in [0, 1) for the jitter."""
    match failure.fault:
        case Fault.THROTTLED:
            return _again(policy, failure, history, (history.throttled, THROTTLE_BASE_S, THROTTLE_CAP_S), draw)
        case Fault.UNSENT:
            return _after_unsent(policy, failure, history, draw)
        case Fault.AMBIGUOUS if not _may_repeat(policy.ambiguous, history.ambiguous):
            return GiveUp()
        case Fault.OVERLOADED if history.down_s >= policy.patience_s:
            return Pause(f"{failure.message}, and no answer for {history.down_s:.0f} s now", advise(failure))
        case Fault.OVERLOADED | Fault.AMBIGUOUS:
            down = failure.fault is Fault.OVERLOADED and history.down_s > 0
            if history.attempts >= policy.max_attempts and not down:
                return GiveUp()
            return _again(policy, failure, history, (history.attempts, FAILURE_BASE_S, FAILURE_CAP_S), draw)
        case Fault.ACCOUNT if history.served:
            return _after_refusal(failure, history, draw)
        case Fault.ACCOUNT | Fault.LOCAL:
            return Pause(failure.message, advise(failure))
        case Fault.REJECTED | Fault.PARTIAL:
            return GiveUp()


def _again(
    policy: RetryPolicy, failure: Failure, history: History, steps: tuple[int, float, float], draw: float
) -> Decision:
    """At once where somebody else can be asked; otherwise by the back-off's (attempt, base, cap)."""
    if history.elsewhere:
        return Retry(0.0)
    return _asked_too_long(policy, failure) or Retry(backoff_s(*steps, draw, failure.retry_after_s))


def _asked_too_long(policy: RetryPolicy, failure: Failure) -> Pause | None:
    if failure.retry_after_s is None or failure.retry_after_s <= policy.patience_s:
        return None
    return Pause(failure.message, WAIT_HINT, failure.retry_after_s)


def _after_refusal(failure: Failure, history: History, draw: float) -> Decision:
    """At once to another key, or once more to the same one, until it is clear that this task alone is refused."""
    if history.elsewhere or not history.refused:
        return Retry(0.0)
    if history.refused >= REFUSED_ALONE and history.vouched:
        return GiveUp()
    if history.refused >= REFUSED_UNANSWERED:
        return GiveUp() if history.known else Pause(failure.message, advise(failure))
    return Retry(backoff_s(history.refused, FAILURE_BASE_S, FAILURE_CAP_S, draw))


def _after_unsent(policy: RetryPolicy, failure: Failure, history: History, draw: float) -> Decision:
    if (
        failure.status is not None and history.unsent > 1
    ):  # answered: what arrived was cut short, and twice is no chance
        return GiveUp()
    if history.elsewhere and failure.code != TOO_MANY_FILES:  # which no other endpoint would mend
        return Retry(0.0)
    if history.unsent_s >= policy.patience_for(history.reached):
        return Pause(f"{failure.message}, for {history.unsent_s:.0f} s now", advise(failure))
    return Retry(backoff_s(history.unsent, FAILURE_BASE_S, FAILURE_CAP_S, draw, failure.retry_after_s))


def _may_repeat(allowed: Ambiguous, ambiguous: int) -> bool:
    match allowed:
        case "never":
            return False
        case "once":
            return ambiguous <= 1
        case "always":
            return True
