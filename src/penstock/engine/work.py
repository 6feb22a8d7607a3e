"""A task on its way: what the dispatcher remembers of it between attempts, and the result that it ends in."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from penstock.engine.estimate import Estimate, estimate
from penstock.models import Attempt, Failure, Fault, Request, Response, Result, Status, Task

if TYPE_CHECKING:
    from penstock.engine.scope import Scope

FREE = frozenset({Fault.THROTTLED, Fault.UNSENT, Fault.ACCOUNT})
"""Faults of attempts that do not count against `max_attempts`."""
UNWORKED = frozenset({Fault.THROTTLED, Fault.UNSENT, Fault.ACCOUNT})
"""Ends of attempts after which the next one is no retry for the provider: it has not worked on the task."""


class Work:
    """One task that is accepted and not settled. Lives from its first turn to its result."""

    __slots__ = (
        "_estimate",
        "_failed_before_s",
        "_failed_s",
        "attempts",
        "flying",
        "is_retry",
        "refusals",
        "request",
        "sent_s",
        "settled",
        "since_s",
        "task",
        "timeouts",
        "tried",
        "tries",
    )

    def __init__(self, task: Task, request: Request, since_s: float) -> None:
        self.task = task
        self.request = request
        self.since_s = since_s
        self.sent_s: float | None = None
        self.settled = False
        self.flying = 0
        self.is_retry = False
        self.timeouts = 0
        self.tried: Sequence[Scope] = ()
        self.refusals: Sequence[tuple[Scope, float]] = ()
        self._estimate: Estimate | None = None
        self._failed_s = self._failed_before_s = -1.0
        self.attempts: list[Attempt] = []
        self.tries: dict[Fault, int] = {}

    @property
    def estimate(self) -> Estimate:
        """What it may use, reckoned when first asked for."""
        if self._estimate is None:
            self._estimate = estimate(self.request)
        return self._estimate

    @property
    def ambiguous(self) -> int:
        """Attempts that may have been billed without an answer."""
        return self.tries.get(Fault.AMBIGUOUS, 0)

    @property
    def unknown_cost(self) -> float:
        """What those attempts may have cost."""
        return sum(attempt.unknown_cost for attempt in self.attempts)

    def record(self, attempt: Attempt, now_s: float) -> None:
        """Remember an attempt."""
        self.attempts.append(attempt)
        self.is_retry = attempt.fault not in UNWORKED
        if attempt.fault is None:
            return
        self.tries[attempt.fault] = self.tries.get(attempt.fault, 0) + 1
        self._failed_before_s, self._failed_s = self._failed_s, now_s

    def refused(self, scope: "Scope", now_s: float) -> None:
        """A scope refused it which is still let in: it answers others."""
        self.refusals = (*self.refusals, (scope, now_s))

    def refused_at(self, scope: "Scope") -> list[float]:
        """When that was, for one scope."""
        return [at_s for refusing, at_s in self.refusals if refusing is scope]

    @property
    def counted(self) -> int:
        """Attempts that count against the user's limit."""
        return sum(count for fault, count in self.tries.items() if fault not in FREE)

    def down_s(self, now_s: float, answered_s: float) -> float:
        """How long nobody has been answered, the last one at `answered_s`; 0 where somebody was since the last try."""
        return 0.0 if answered_s > self._failed_before_s else now_s - answered_s

    def answered(self, response: Response, currency: str, at: float) -> Result:
        """The result of an answer that came at unix time `at`."""
        task, request, attempts = self.task, self.request, self.attempts
        last = attempts[-1]
        # By place: a struct of so many fields takes ten times as long by name.
        return Result(
            task.key,
            task.index,
            Status.PARTIAL if response.partial else Status.OK,
            task.raw,
            task.where,
            request.api,
            response.model or request.model,
            last.endpoint,
            response.body,
            response.text,
            response.output,
            response.partial or response.finish_reason,
            response.usage,
            last.cost if len(attempts) == 1 else self._cost(),
            currency,
            last.latency_ms,
            self._queue_ms(),
            tuple(attempts),
            at,
        )

    def failed(self, failure: Failure, currency: str, at: float) -> Result:
        """The result of a task that is given up at unix time `at`."""
        return Result(
            key=self.task.key,
            index=self.task.index,
            status=Status.FAILED,
            raw=self.task.raw,
            where=self.task.where,
            api=self.request.api,
            model=self.request.model,
            endpoint=self.attempts[-1].endpoint,
            cost=self._cost(),
            currency=currency,
            latency_ms=self.attempts[-1].latency_ms,
            queue_ms=self._queue_ms(),
            attempts=tuple(self.attempts),
            finished_at=at,
            failure=failure,
        )

    def _cost(self) -> float | None:
        """What is known to have been spent on it; None where no price is known."""
        costs = [attempt.cost for attempt in self.attempts if attempt.cost is not None]
        return sum(costs) if costs else None

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
