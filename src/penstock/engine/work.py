"""A task on its way: what the dispatcher remembers of it between attempts, and the result that it ends in."""

from penstock.models import Attempt, Failure, Fault, Request, Response, Result, Status, Task
from penstock.policy.retry import History

FREE = frozenset({Fault.THROTTLED, Fault.UNSENT})
"""Faults of attempts that do not count against `max_attempts`."""


class Work:
    """One task that is accepted and not settled. Lives from its first turn to its result."""

    __slots__ = (
        "_failed_before_s",
        "_failed_s",
        "attempts",
        "request",
        "sent_s",
        "settled",
        "since_s",
        "task",
        "tries",
        "unsent_since_s",
    )

    def __init__(self, task: Task, request: Request, since_s: float) -> None:
        self.task = task
        self.request = request
        self.since_s = since_s
        self.sent_s: float | None = None
        self.settled = False
        self._failed_s = self._failed_before_s = -1.0
        self.attempts: list[Attempt] = []
        self.tries: dict[Fault, int] = {}
        self.unsent_since_s: float | None = None

    @property
    def ambiguous(self) -> int:
        """Attempts that may have been billed without an answer."""
        return self.tries.get(Fault.AMBIGUOUS, 0)

    def record(self, attempt: Attempt, now_s: float) -> None:
        """Remember an attempt."""
        self.attempts.append(attempt)
        if attempt.fault is None:
            return
        self.tries[attempt.fault] = self.tries.get(attempt.fault, 0) + 1
        self._failed_before_s, self._failed_s = self._failed_s, now_s
        if attempt.fault is not Fault.UNSENT:
            self.unsent_since_s = None
        elif self.unsent_since_s is None:
            self.unsent_since_s = now_s

    def history(self, now_s: float, reached: bool, answered_s: float) -> History:
        """What the task has been through, for the policy; the endpoint answered somebody last at `answered_s`."""
        tries = self.tries
        return History(
            attempts=sum(count for fault, count in tries.items() if fault not in FREE),
            ambiguous=self.ambiguous,
            throttled=tries.get(Fault.THROTTLED, 0),
            unsent=tries.get(Fault.UNSENT, 0),
            unsent_s=0.0 if self.unsent_since_s is None else now_s - self.unsent_since_s,
            reached=reached,
            down_s=0.0 if answered_s > self._failed_before_s else now_s - answered_s,
        )

    def answered(self, response: Response, cost: float | None, currency: str, at: float) -> Result:
        """The result of an answer that came at unix time `at`."""
        return Result(
            key=self.task.key,
            index=self.task.index,
            status=Status.PARTIAL if response.partial else Status.OK,
            raw=self.task.raw,
            where=self.task.where,
            api=self.request.api,
            model=response.model or self.request.model,
            endpoint=self.attempts[-1].endpoint,
            body=response.body,
            text=response.text,
            output=response.output,
            finish_reason=response.partial or response.finish_reason,
            usage=response.usage,
            cost=cost,
            currency=currency,
            latency_ms=self.attempts[-1].latency_ms,
            queue_ms=self._queue_ms(),
            attempts=tuple(self.attempts),
            finished_at=at,
        )

    def failed(self, failure: Failure, at: float) -> Result:
        """The result of a task that is given up."""
        return Result(
            key=self.task.key,
            index=self.task.index,
            status=Status.FAILED,
            raw=self.task.raw,
            where=self.task.where,
            api=self.request.api,
            model=self.request.model,
            endpoint=self.attempts[-1].endpoint,
            latency_ms=self.attempts[-1].latency_ms,
            queue_ms=self._queue_ms(),
            attempts=tuple(self.attempts),
            finished_at=at,
            failure=failure,
        )

    def _queue_ms(self) -> float:
        return round(((self.sent_s or self.since_s) - self.since_s) * 1000, 1)


def unusable(task: Task, message: str, at: float) -> Result:
    """The result of a task from which no request can be made: nothing was sent."""
    return Result(
        key=task.key,
        index=task.index,
        status=Status.FAILED,
        raw=task.raw,
        where=task.where,
        finished_at=at,
        failure=Failure(Fault.REJECTED, message, code="bad_row"),
    )
