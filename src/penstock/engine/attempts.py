"""What is kept of an attempt."""

from penstock.engine.scope import Lane
from penstock.engine.work import Work
from penstock.models import Attempt, Failure, Outcome


def attempt_of(
    lane: Lane, work: Work, started_at: float, latency_ms: float, outcome: Outcome, money: tuple[float | None, float]
) -> Attempt:
    """The record of an attempt that began at unix time `started_at`; `money` is what it cost, and may have cost."""
    failure = outcome if isinstance(outcome, Failure) else None
    cost, unknown_cost = money
    endpoint = lane.endpoint
    return Attempt(
        endpoint.name,
        started_at,
        round(latency_ms, 1),
        failure.fault if failure else None,
        failure.status if failure else None,
        failure.message if failure else None,
        lane.key.label if len(endpoint.keys) > 1 else "",
        lane.model if lane.model != work.request.model else "",
        cost,
        unknown_cost,
        ttft_ms=outcome.ttft_ms,
        tokens_per_s=None if isinstance(outcome, Failure) else outcome.tokens_per_s,
        usage=failure.usage if failure else None,
    )
