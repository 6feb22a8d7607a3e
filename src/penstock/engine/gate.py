"""Admission: whether a task may be sent now, and by which scope.

Asked in this order: the run (paused, full, its own rpm and tpm), a scope of the model's pool (its limits, its key, its
breaker), the budget. Only when all agree is anything taken, so that nothing is held while waiting.
"""

import math
from collections.abc import Callable

import msgspec

from penstock.engine.allowance import Allowance
from penstock.engine.binding import binds_scopes
from penstock.engine.caps import Caps
from penstock.engine.choice import Choice
from penstock.engine.estimate import USUAL_OUTPUT_TOKENS
from penstock.engine.ledger import Ledger
from penstock.engine.refusals import out_words, status_words
from penstock.engine.scope import Place, Scope
from penstock.engine.scopes import Scopes
from penstock.engine.verdicts import RUN_WHEN_LANDED, Refusal, Spent, Wait
from penstock.engine.work import Work
from penstock.errors import UsageError
from penstock.events import Change, ScopeStatus
from penstock.models import Failure, Fault, Outcome, Response
from penstock.policy.backoff import RETRY_AFTER_SPREAD
from penstock.policy.changes import Changes
from penstock.policy.landing import landing_of
from penstock.policy.rate import Limits, Rate
from penstock.policy.retry import WAIT_HINT
from penstock.pools import Pools

AUTO_START = 20
"""Calls that `--concurrency auto` begins with."""

TOO_LARGE = "it needs about {tokens} tokens, more than the limit of tokens per minute"
OUTPUT_FADES = 0.99
"""How fast the longest answer is forgotten, with each that is shorter."""


class GateSnapshot(msgspec.Struct, frozen=True):
    """The gate at one moment; `binds` says in words what holds calls back."""

    in_flight: int
    limit: int
    binds: str


class Gate:
    """The run's own limits, its scopes, and its money.

    A place is given back in two steps: `land` when the call has ended, `release` when what it came to is durable. What
    is set while it works is kept in `caps`, which new scopes are made with.
    """

    def __init__(
        self,
        scopes: Scopes,
        ledger: Ledger,
        allowance: Allowance,
        draw: Callable[[], float],
        caps: Caps,
    ) -> None:
        self._scopes = scopes
        self._ledger = ledger
        self._allowance = allowance
        self._draw = draw
        self.on_warning: Callable[[str], None] = lambda message: None
        self._choice = Choice(scopes, draw, self._tokens)
        self._caps = caps
        self.whole = None if caps.limits == Limits() else Rate(caps.limits, False, Changes())
        self._taken = 0
        self._taken_amount = 0.0
        self._in_flight = 0
        self._is_steered = False
        self._is_short = False
        self._output_tokens = float(USUAL_OUTPUT_TOKENS)
        self._usual_output = USUAL_OUTPUT_TOKENS
        self.paused = False

    # Admission

    def admit(self, now_s: float, work: Work, *, avoid: Scope | None = None) -> Place | Wait | Refusal | Spent:
        """Take a place for one call. With `avoid` it is a second copy, which goes elsewhere where that is possible."""
        if (wait := self._run_wait(now_s, work)) is not None:
            return wait
        found = self._choose(now_s, work, avoid)
        if not isinstance(found, Scope):
            self._is_short = False
            return found
        amount = 0.0
        if self._ledger.is_limited:
            reserved = self._reserve(work, found)
            if not isinstance(reserved, float):
                return reserved
            amount = reserved
        tokens = self._tokens(work, found)
        found.start(now_s, tokens, work.is_retry)
        if self.whole is not None:
            self.whole.start(now_s, tokens, 1.0)
        self._taken += 1
        self._taken_amount += amount
        self._in_flight += 1
        return Place(found, now_s, tokens, amount, work.is_retry)

    def _run_wait(self, now_s: float, work: Work) -> Wait | Refusal | Spent | None:
        if self.paused or self._taken >= self._caps.most or not self._allowance.covers_calls(self._taken + 1):
            return RUN_WHEN_LANDED
        if self.whole is None:
            return None
        tpm = self._caps.limits.tpm
        tokens = self._expected(work) if tpm is not None else 0
        wait_s = self.whole.wait_s(now_s, tokens, 1.0)
        if wait_s == 0.0:
            return None
        if math.isinf(wait_s):
            return self._never(f"it needs about {tokens} tokens, more than --tpm {tpm:.0f} allows")
        return Wait(now_s + wait_s, "run")

    def _choose(self, now_s: float, work: Work, avoid: Scope | None) -> Scope | Wait | Refusal | Spent:
        found = self._choice.scope_for(now_s, work, avoid)
        if isinstance(found, Scope) or found.until_s is None:
            return found
        if math.isinf(found.until_s):
            return self._never(TOO_LARGE.format(tokens=self._expected(work)))
        if found.until_s - now_s > self._caps.patience_s * (1 + RETRY_AFTER_SPREAD):
            asked_s = self._choice.asked_until_s(work.request.model, now_s) - now_s
            if asked_s >= found.until_s - now_s:
                return Spent("no call may go before", WAIT_HINT, asked_s=asked_s)
        return found

    def _never(self, message: str) -> Refusal | Spent:
        """It can not be sent within these limits: the row's affair, unless somebody has set them since it was taken."""
        return (
            Spent(message, "Go on with another limit; what is pending stays so.")
            if self._is_steered
            else Refusal(message)
        )

    def _tokens(self, work: Work, scope: Scope) -> int:
        return self._expected(work) if self._caps.limits.tpm is not None or scope.flow.counts_tokens else 0

    def _expected(self, work: Work) -> int:
        """Tokens in and out, an answer without a limit taken to be as long as the longest of late."""
        return work.estimate.tokens(self._usual_output)

    def _reserve(self, work: Work, scope: Scope) -> float | Wait | Spent:
        amount = self._ledger.worst_case(work, scope.lane)
        if amount is None:
            message, hint = self._ledger.pricing.why_unknown(scope.lane.model)
            return Spent(f"{message}, so the budget could not be kept", hint)
        budget = self._ledger.budget
        left = budget.left or 0.0
        taken = self._taken_amount + amount
        if amount <= left and not self._allowance.covers_money(taken, amount, self._taken_amount + left):
            return RUN_WHEN_LANDED
        self._is_short = not budget.reserve(amount)
        if not self._is_short:
            return amount
        if self._in_flight:
            return RUN_WHEN_LANDED
        return Spent(self._spent_words(amount), _spent_hint(work), "--budget")

    def _spent_words(self, amount: float) -> str:
        money, currency = self._ledger.budget.snapshot(), self._ledger.pricing.currency
        unknown = f", {money.unknown:.4g} may have been billed without an answer" if money.unknown else ""
        return (
            f"The budget of {money.limit:.6g} {currency} is used up: {money.spent:.4g} are spent{unknown}, "
            f"and the next call may cost up to {amount:.4g}"
        )

    # Landing

    def land(self, place: Place, work: Work, outcome: Outcome, now_s: float) -> tuple[float | None, float]:
        """A call has ended. What it cost, and what it may have cost besides without an answer."""
        self._in_flight -= 1
        if isinstance(outcome, Response):
            self._output_tokens = max(outcome.usage.output_tokens, OUTPUT_FADES * self._output_tokens)
            self._usual_output = math.ceil(self._output_tokens)
        landing = landing_of(outcome, place.started_s, now_s, place.tokens)
        place.scope.land(place, outcome, landing, self._draw())
        if self.whole is not None:
            self.whole.settle(landing)
        return self._ledger.book(place, work, outcome)

    def give_up(self, place: Place, work: Work, now_s: float) -> float:
        """A call was cancelled. What it may cost."""
        self._in_flight -= 1
        place.scope.give_up(place, now_s)
        return self._ledger.lose(place, work)

    def release(self, place: Place) -> None:
        """What a call came to is durable, or it came to nothing that must be."""
        self._taken -= 1
        self._taken_amount -= place.amount

    def refuse(self, place: Place, work: Work, failure: Failure, now_s: float) -> None:
        """The provider refuses a key, or does not have a model there; or it refuses the task, where it is alone."""
        if failure.fault is not Fault.ACCOUNT:
            return
        scope = place.scope
        was_in = scope.serves(now_s)
        if not scope.refuse(failure, now_s, work.task.index):
            work.refused(scope, now_s)
        elif was_in:
            self._tell_out(scope, failure, work.request.model, now_s)

    def _tell_out(self, scope: Scope, failure: Failure, model: str, now_s: float) -> None:
        out_s = scope.out_s(now_s)
        scope.flow.note(now_s, "seconds out", out_s, failure.message)
        others = [entry.scope for entry in self._scopes.pool(model).entries if entry.scope.serves(now_s)]
        if others:
            self.on_warning(out_words(scope, failure, others, out_s))

    @property
    def currency(self) -> str:
        """Of everything that is booked."""
        return self._ledger.pricing.currency

    def has_untried(self, work: Work, now_s: float) -> bool:
        """Whether a healthy scope is left that has not failed this task."""
        entries = self._scopes.pool(work.request.model).entries
        return len(entries) > 1 and any(
            entry.scope not in work.tried and entry.scope.serves(now_s) and entry.scope.flow.healthy(now_s)
            for entry in entries
        )

    def serves(self, model: str, now_s: float) -> bool:
        """Whether any scope of a model's pool is let in."""
        return any(entry.scope.serves(now_s) for entry in self._scopes.pool(model).entries)

    # Telling

    def limit(self, now_s: float) -> int:
        """Calls that may be in flight now."""
        if self._caps.concurrency is not None:
            return self._caps.concurrency
        found = sum(scope.flow.limit(now_s) for scope in self._scopes)
        return min(self._caps.ceiling, found or AUTO_START)

    def snapshot(self, now_s: float) -> GateSnapshot:
        """What is in flight, and what holds back more."""
        return GateSnapshot(self._in_flight, self.limit(now_s), self._binds(now_s))

    def _binds(self, now_s: float) -> str:
        if self.paused:
            return "paused, until penstock ctl resume"
        if self._taken >= self._caps.most:
            return f"concurrency {self._caps.most}"
        if self.whole is not None and (binds := self.whole.binds(now_s)) is not None:
            return binds
        if self._is_short and self._ledger.is_limited:
            return self._budget_words()
        return binds_scopes(tuple(self._scopes), now_s)

    def _budget_words(self) -> str:
        money = self._ledger.budget.snapshot()
        taken = money.spent + money.reserved + money.unknown
        return f"budget {money.limit:.6g} {self.currency}: {taken:.4g} spent or set aside"

    def scopes(self, now_s: float, now_unix_s: float) -> tuple[ScopeStatus, ...]:
        """Every scope in use, for a person."""
        return tuple(_status(scope, now_s, now_unix_s) for scope in self._scopes)

    def refusals(self, model: str, now_s: float) -> list[tuple[Scope, Failure]]:
        """The scopes of a model's pool that are out, each with what the provider said last."""
        out = [entry.scope for entry in self._scopes.pool(model).entries if not entry.scope.serves(now_s)]
        return [(scope, failure) for scope in out if (failure := scope.said(now_s))]

    # Live control

    def set_value(self, now_s: float, name: str, value: float | str | None) -> None:
        """Keep another value for an option: concurrency, max_concurrency, rpm, tpm or budget, None for no limit."""
        match name, value:
            case "concurrency", "auto":
                self._fix_concurrency(now_s, None)
            case "concurrency", int(calls):
                self._fix_concurrency(now_s, calls)
            case "max_concurrency", int(calls):
                self._set_ceiling(now_s, calls)
            case (("rpm" | "tpm"), (int() | float() | None)):
                self._set_limits(now_s, msgspec.structs.replace(self._caps.limits, **{name: value}))
            case "budget", (int() | float() | None):
                self._ledger.budget.change_limit(value)
            case _:
                raise UsageError(f"{name} cannot be {value!r}.")

    def reload(self, pools: Pools) -> str:
        """Take other endpoints and keys from now on, and give each another chance."""
        return self._scopes.reload(pools)

    def _set_limits(self, now_s: float, limits: Limits) -> None:
        self._caps.limits = limits
        self._is_steered = True
        if self.whole is None:
            self.whole = Rate(limits, False, Changes())
            for _ in range(self._in_flight):
                self.whole.start(now_s, 0, 1.0)
        self.whole.configure(now_s, limits)
        for scope in self._scopes:
            scope.flow.configure(now_s, self._caps.limits_at(scope.lane.endpoint))

    def _fix_concurrency(self, now_s: float, concurrency: int | None) -> None:
        self._caps.concurrency = concurrency
        self._allowance.set_ceiling(self._caps.most)
        for scope in self._scopes:
            scope.flow.fix_concurrency(now_s, self._caps.concurrency_at(scope.lane.endpoint))

    def _set_ceiling(self, now_s: float, ceiling: int) -> None:
        self._caps.ceiling = ceiling
        self._allowance.set_ceiling(self._caps.most)
        for scope in self._scopes:
            scope.flow.set_ceiling(now_s, self._caps.ceiling_at(scope.lane.endpoint))


def _spent_hint(work: Work) -> str:
    hint = "Go on with a larger --budget; what is pending stays so."
    if work.estimate.max_output_tokens is None:
        return f"{hint} --param max_tokens=… sets aside less for each call."
    return hint


def _status(scope: Scope, now_s: float, now_unix_s: float) -> ScopeStatus:
    flow = scope.flow.snapshot(now_s)
    lane = scope.lane
    binds = flow.binds if scope.serves(now_s) else status_words(scope, now_s)
    changes = tuple(
        Change(round(now_unix_s - (now_s - change.at_s), 3), change.what, change.old, change.new, change.why)
        for change in flow.changes
    )
    return ScopeStatus(
        lane.endpoint.name, lane.key.label, lane.model, flow.limit, flow.in_flight, flow.rpm, flow.tpm, binds, changes
    )
