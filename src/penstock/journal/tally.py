"""The totals of a run, folded one result at a time."""

from collections import Counter

from penstock.journal.schema import Record
from penstock.models import Attempt, Fault, Result, Status, Totals, Usage
from penstock.spread import step_of

UNKNOWN = frozenset({Fault.AMBIGUOUS})
"""Faults of an attempt that may have been billed."""


def billed(result: Result) -> int:
    """Attempts of a result that may have been billed, the one that gave the answer included."""
    return sum(attempt.fault is None or attempt.fault in UNKNOWN for attempt in result.attempts)


def billed_cost(result: Result) -> float:
    """What those attempts cost, or may have cost."""
    return (result.cost or 0.0) + sum(attempt.unknown_cost for attempt in result.attempts)


class Tally:
    """A running fold of results into `Totals`."""

    def __init__(self, totals: Totals) -> None:
        self._totals = totals
        self._by_status = Counter({Status.OK: totals.ok, Status.PARTIAL: totals.partial, Status.FAILED: totals.failed})
        self._faults = Counter(totals.faults)
        self._partials = Counter(totals.partials)
        self._attempts = totals.attempts
        self._unknown = totals.unknown
        self._unknown_cost = totals.unknown_cost
        self._unpriced = totals.unpriced
        self._cost = totals.cost
        self._currency = totals.currency
        self._ttft_ms = Counter(totals.ttft_ms)
        self._tokens_per_s = Counter(totals.tokens_per_s)
        usage = totals.usage
        self._tokens = [usage.input_tokens, usage.cached_tokens, usage.output_tokens, usage.reasoning_tokens]

    def add(self, status: Status, outcome: Result | Record) -> None:
        """Count a result and what it took."""
        self._by_status[status] += 1
        self._attempts += len(outcome.attempts)
        if outcome.failure is not None:
            self._faults[outcome.failure.fault.value] += 1
        elif status is Status.PARTIAL:
            self._partials[outcome.finish_reason or "other"] += 1
        if outcome.failure is not None or outcome.cost is None or len(outcome.attempts) > 1:
            self._add_unknown(outcome)
            self._add_lost_tokens(outcome)
        if outcome.failure is None and outcome.attempts:
            self._add_times(outcome.attempts[-1])
        self._add_spend(outcome)

    def totals(self) -> Totals:
        """The fold so far; how many tasks were taken is not its business."""
        return Totals(
            ok=self._by_status[Status.OK],
            partial=self._by_status[Status.PARTIAL],
            failed=self._by_status[Status.FAILED],
            faults={fault: count for fault, count in self._faults.items() if count},
            partials=dict(self._partials),
            attempts=self._attempts,
            unknown=self._unknown,
            unknown_cost=self._unknown_cost,
            usage=Usage(*self._tokens),
            cost=self._cost,
            unpriced=self._unpriced,
            currency=self._currency,
            ttft_ms=dict(self._ttft_ms),
            tokens_per_s=dict(self._tokens_per_s),
        )

    def _add_unknown(self, outcome: Result | Record) -> None:
        self._unknown += sum(attempt.fault in UNKNOWN for attempt in outcome.attempts)
        if amount := sum(attempt.unknown_cost for attempt in outcome.attempts):
            self._unknown_cost += amount
            self._currency = outcome.currency

    def _add_times(self, attempt: Attempt) -> None:
        if attempt.ttft_ms:
            self._ttft_ms[step_of(attempt.ttft_ms)] += 1
        if attempt.tokens_per_s:
            self._tokens_per_s[step_of(attempt.tokens_per_s)] += 1

    def _add_lost_tokens(self, outcome: Result | Record) -> None:
        """What failed attempts are known to have used."""
        for attempt in outcome.attempts:
            if attempt.usage is not None:
                self._add_usage(attempt.usage)

    def _add_usage(self, usage: Usage) -> None:
        tokens = self._tokens
        tokens[0] += usage.input_tokens
        tokens[1] += usage.cached_tokens
        tokens[2] += usage.output_tokens
        tokens[3] += usage.reasoning_tokens

    def _add_spend(self, outcome: Result | Record) -> None:
        self._add_usage(outcome.usage)
        if outcome.cost is not None:
            self._cost += outcome.cost
            self._currency = outcome.currency
        elif outcome.failure is None:
            self._unpriced += 1
