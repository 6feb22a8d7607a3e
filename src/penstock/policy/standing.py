"""The standing of an account (a key at an endpoint), or of a model there: whether the provider lets it in.

A refusal is nothing that back-off mends: who is refused stays out for minutes, and then one call tries again.
"""

import re

from penstock.models import Failure

FIRST_PAUSE_S, LONGEST_PAUSE_S = 300.0, 3_600.0
TRIAL_S = 60.0
"""How long the one call that tries again is waited for, before another may."""
TASKS_REFUSED = 3
"""So many different tasks refused in a row, without any answer between, are the account's affair and not theirs."""

_MAY_PASS = frozenset({401, 403, 404, 405, 407})
"""Statuses that a provider's own trouble can cause for a moment, so that one is not believed after an answer."""
_MONEY = re.compile(
    r"quota|balance|billing|credit|spend|arrear|overdue|purchase|usage_limit|limitexceeded", re.IGNORECASE
)
"""Codes that say that money has run out, whatever the status."""


class Standing:
    """In until it is refused; then out for five minutes, doubling to an hour each time that it is refused again.

    Refused for money, or before the first answer, it is out at once; else when several tasks are refused in a row, with
    no answer between. One task alone never takes it out, however often it is refused. What lands while it is out was in
    flight when it went out, and changes nothing. `trusted` says that it has answered an earlier process.
    """

    def __init__(self, trusted: bool = False) -> None:
        self.failure: Failure | None = None
        """What the provider said last; None since the last answer."""
        self.answered_sent_s: float | None = None
        """When the latest call was sent that was answered; None where this process got no answer."""
        self._trusted = trusted
        self._refused: set[int] = set()
        self._out_until_s = 0.0
        self._trial_until_s = 0.0
        self._pause_s = 0.0

    def is_in(self, now_s: float) -> bool:
        """Whether a call may be sent, as far as it goes by this."""
        return now_s >= self._out_until_s and now_s >= self._trial_until_s

    def out_until_s(self, now_s: float) -> float:
        """Until when it is out, on the monotonic clock; 0 when it is in."""
        until_s = max(self._out_until_s, self._trial_until_s)
        return until_s if now_s < until_s else 0.0

    def start(self, now_s: float) -> None:
        """A call is sent. After a pause it is the one that tries again: others wait for what it comes to."""
        if self._pause_s and now_s >= self._out_until_s:
            self._trial_until_s = now_s + TRIAL_S

    def refuse(self, now_s: float, failure: Failure, task: int) -> bool:
        """The provider refused it with the task of this index; whether it is out now."""
        if now_s < self._out_until_s:
            return True
        self._refused.add(task)
        doubted = self._trusted and not self._pause_s and len(self._refused) < TASKS_REFUSED
        believed = not doubted or not _may_pass(failure)
        self.failure = failure
        if believed:
            self._go_out(now_s, failure.retry_after_s or 0.0)
        return believed

    def answered(self, now_s: float, sent_s: float) -> None:
        """The provider answered a call of that time: it is in, and what was said before is forgotten."""
        self._trusted = True
        if self.answered_sent_s is None or sent_s > self.answered_sent_s:
            self.answered_sent_s = sent_s
        if self.failure is not None and now_s >= self._out_until_s:
            self.put_back()

    def put_back(self) -> None:
        """Let it in again, as if it had never been refused."""
        self.failure = None
        self._refused.clear()
        self._out_until_s = self._trial_until_s = self._pause_s = 0.0

    def _go_out(self, now_s: float, asked_s: float) -> None:
        self._pause_s = min(LONGEST_PAUSE_S, 2 * self._pause_s) if self._pause_s else FIRST_PAUSE_S
        self._out_until_s = now_s + max(self._pause_s, asked_s)
        self._trial_until_s = 0.0
        self._refused.clear()


def _may_pass(failure: Failure) -> bool:
    return failure.status in _MAY_PASS and not _MONEY.search(failure.code or "")
