"""The run's money: what a call may cost is reserved before it is sent, and booked when it has landed."""

from penstock.engine.scope import Lane, Place
from penstock.engine.work import Work
from penstock.models import Fault, Outcome, Response, Usage
from penstock.policy.budget import Budget
from penstock.pricing import MAX_OUTPUT_TOKENS, Pricing


class Ledger:
    """Prices and the budget. Without a budget nothing is reserved, and what is unknown is reckoned when it happens."""

    def __init__(self, pricing: Pricing, budget: Budget) -> None:
        self.pricing = pricing
        self.budget = budget

    @property
    def is_limited(self) -> bool:
        """Whether there is a budget."""
        return self.budget.is_limited

    def worst_case(self, work: Work, lane: Lane) -> float | None:
        """The most that a call can cost; None where no price is known."""
        estimate = work.estimate
        output_tokens = estimate.max_output_tokens
        return self.pricing.worst_case(
            lane.model,
            estimate.input_tokens,
            MAX_OUTPUT_TOKENS * estimate.answers if output_tokens is None else output_tokens,
            lane.endpoint.base_url,
            lane.endpoint.price_multiplier,
        )

    def book(self, place: Place, work: Work, outcome: Outcome) -> tuple[float | None, float]:
        """What a call cost, and what it may have cost besides without an answer."""
        lane = place.scope.lane
        if isinstance(outcome, Response):
            cost = self._cost(outcome.model, outcome.usage, lane)
            if cost is None and place.amount:  # an answer whose tokens nobody counted
                return None, self.lose(place, work)
            if cost or place.amount:
                self.budget.settle(place.amount, cost or 0.0)
            return cost, 0.0
        cost = None if outcome.usage is None else self._cost(lane.model, outcome.usage, lane)
        if outcome.fault is not Fault.AMBIGUOUS:
            self.budget.settle(place.amount, cost or 0.0)
            return cost, 0.0
        amount = self.lose(place, work)
        return cost, max(0.0, amount - (cost or 0.0))

    def lose(self, place: Place, work: Work) -> float:
        """A call that may be billed, and of which nothing will be known: what it may cost at most."""
        amount = place.amount or self.worst_case(work, place.scope.lane) or 0.0
        if not place.amount and not self.budget.reserve(amount):
            self.budget.settle(0.0, amount)  # a budget that was set since it was sent, and is too small for it
        else:
            self.budget.unknown(amount)
        return amount

    def _cost(self, model: str, usage: Usage, lane: Lane) -> float | None:
        """By the name of the model that answered, or else by the name that was asked for."""
        url, multiplier = lane.endpoint.base_url, lane.endpoint.price_multiplier
        cost = self.pricing.cost(model or lane.model, usage, url, multiplier)
        if cost is None and model != lane.model:
            return self.pricing.cost(lane.model, usage, url, multiplier)
        return cost
