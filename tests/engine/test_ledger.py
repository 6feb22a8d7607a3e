"""What a call is booked at: the answer's price, or what it may have cost."""

import pytest

from penstock.endpoints import NO_KEY, Endpoint
from penstock.engine.ledger import Ledger
from penstock.engine.scope import Lane, Place, Scope
from penstock.engine.work import Work
from penstock.models import Failure, Fault, Outcome, Request, Response, Task, Usage
from penstock.policy.budget import Budget
from penstock.policy.flow import Flow
from penstock.policy.rate import Limits
from penstock.policy.standing import Standing
from penstock.pricing import Price, Pricing
from penstock.transport.fake import FunctionTransport, respond

RESERVED = 0.01
USED = Usage(input_tokens=1_000, output_tokens=1_000)
COST = 0.002
"""At a dollar per million tokens."""


def booked(outcome: Outcome, budget: float | None = 1.0) -> tuple[tuple[float | None, float], Budget]:
    """What is booked of a call for which `RESERVED` was set aside, where there is a budget."""
    money = Budget(budget)
    lane = Lane(Endpoint("e", "http://127.0.0.1/v1"), NO_KEY, "m", FunctionTransport(lambda path, body: respond()))
    amount = RESERVED if budget is not None else 0.0
    assert money.reserve(amount)
    place = Place(Scope(lane, Flow(Limits(), 1), Standing(), Standing()), 0.0, amount=amount)
    body = b'{"model":"m","max_tokens":100,"messages":[]}'
    work = Work(Task("k", 0, b"{}", {}, "row"), Request("chat", "chat/completions", body, "m"), 0.0)
    return Ledger(Pricing({"m": Price(1.0, 1.0)}, "USD"), money).book(place, work, outcome), money


@pytest.mark.parametrize(
    ("outcome", "cost", "unknown"),
    [
        pytest.param(Response(b"{}", "m", USED), COST, 0.0, id="an answer"),
        pytest.param(Response(b"{}", "m", Usage()), None, RESERVED, id="an answer whose tokens nobody counted"),
        pytest.param(Failure(Fault.AMBIGUOUS, "cut"), None, RESERVED, id="a lost call"),
        pytest.param(Failure(Fault.AMBIGUOUS, "cut", usage=USED), COST, RESERVED - COST, id="a stream that broke off"),
        pytest.param(Failure(Fault.OVERLOADED, "busy"), None, 0.0, id="a refusal"),
        pytest.param(Failure(Fault.OVERLOADED, "busy", usage=USED), COST, 0.0, id="a refusal after some work"),
    ],
)
def test_what_a_call_comes_to(outcome: Outcome, cost: float | None, unknown: float) -> None:
    """What is known is spent, the rest of what was set aside may be; together they stay taken from the budget."""
    (known, at_most), budget = booked(outcome)
    snapshot = budget.snapshot()
    assert known == cost
    assert at_most == pytest.approx(unknown)
    assert snapshot.reserved == 0.0
    assert snapshot.spent + snapshot.unknown == pytest.approx((cost or 0.0) + unknown)


def test_without_a_budget_an_uncounted_answer_has_no_price() -> None:
    """Nothing was set aside, so nothing is put down."""
    assert booked(Response(b"{}", "m", Usage()), None)[0] == (None, 0.0)
