"""The gate's money in any interleaving: nothing is overspent, and no reservation is lost."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from penstock.engine.allowance import Allowance
from penstock.engine.caps import Caps
from penstock.engine.connections import Connections
from penstock.engine.gate import Gate
from penstock.engine.ledger import Ledger
from penstock.engine.scope import Place
from penstock.engine.scopes import Scopes
from penstock.engine.work import Work
from penstock.models import Failure, Fault, Outcome, Request, Response, Task, Usage
from penstock.policy.budget import Budget
from penstock.policy.flow import Flow
from penstock.pools import resolve_pools
from penstock.pricing import Price, Pricing
from penstock.transport.fake import FunctionTransport, respond

ROUNDING = 1e-7
LOST = Failure(Fault.AMBIGUOUS, "lost")
REFUSED = Failure(Fault.REJECTED, "no", 400)


def work(max_tokens: int) -> Work:
    """A task with an answer of at most so many tokens."""
    body = b'{"model":"m","max_tokens":%d}' % max_tokens
    return Work(Task("0", 0, b"{}", {}, "row 0"), Request("chat", "chat/completions", body, "m"), 0.0)


class Spending(RuleBasedStateMachine):
    """Calls that are let in, land, are lost or given up, beside a plain reckoning; the disk grants when it likes."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s, self.limit = 0.0, 1.0
        self.asked: list[tuple[int, float]] = []
        self.on_disk = 0.0
        self.flying: list[tuple[Place, Work, int]] = []
        self.landed: list[Place] = []
        self.spent = self.unknown = 0.0
        self.budget = Budget(self.limit)
        self.allowance = Allowance(8, 64, lambda calls, amount: self.asked.append((calls, amount)))
        pools = resolve_pools(None, "http://127.0.0.1/v1", {}, {}, need_key=False)
        connections = Connections(lambda endpoint, key: FunctionTransport(lambda path, body: respond()))
        scopes = Scopes(pools, connections, lambda endpoint: Flow(concurrency=1_000))
        ledger = Ledger(Pricing({"m": Price(1e3, 1e3)}), self.budget)
        self.gate = Gate(scopes, ledger, self.allowance, lambda: 0.5, Caps(None, 64))

    @rule(max_tokens=st.integers(1, 300), count=st.integers(1, 20))
    def admit(self, max_tokens: int, count: int) -> None:
        """As many as are let in."""
        for _ in range(count):
            self.now_s += 0.01
            task = work(max_tokens)
            place = self.gate.admit(self.now_s, task)
            if not isinstance(place, Place):
                return
            self.flying.append((place, task, max_tokens))
            assert self.taken() <= self.limit + ROUNDING
            assert sum(place.amount for place, *_ in self.flying) <= self.on_disk + ROUNDING

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), outcome=st.sampled_from(["answered", "lost", "refused", "given up"]))
    def land(self, data: st.DataObject, outcome: str) -> None:
        """One of those in flight comes to its end."""
        place, task, max_tokens = self.flying.pop(data.draw(st.integers(0, len(self.flying) - 1)))
        self.now_s += 0.01
        if outcome == "given up":
            self.unknown += self.gate.give_up(place, task, self.now_s)
        else:
            ends: dict[str, Outcome] = {"lost": LOST, "refused": REFUSED}
            written = data.draw(st.integers(0, max_tokens))
            answer = Response(b"{}", "m", Usage(input_tokens=1, output_tokens=written))
            cost, unknown = self.gate.land(place, task, ends.get(outcome, answer), self.now_s)
            self.spent += cost or 0.0
            self.unknown += unknown
        self.landed.append(place)

    @precondition(lambda self: self.landed)
    @rule()
    def release(self) -> None:
        """What the oldest came to is durable."""
        self.gate.release(self.landed.pop(0))

    @precondition(lambda self: self.asked)
    @rule()
    def grant(self) -> None:
        """The disk has taken what was asked for."""
        calls, amount = self.asked.pop(0)
        self.on_disk = max(self.on_disk, amount)
        self.allowance.grant(calls, amount)

    @rule(limit=st.floats(0.0, 3.0))
    def set_budget(self, limit: float) -> None:
        """While it works."""
        self.limit = limit
        self.gate.set_value(self.now_s, "budget", limit)

    def taken(self) -> float:
        """All that counts against the budget."""
        return self.spent + self.unknown + sum(place.amount for place, *_ in self.flying)

    @invariant()
    def the_budget_knows_all_of_it(self) -> None:
        """Nothing is lost, and nothing counted twice."""
        money = self.budget.snapshot()
        for known, reckoned in (
            (money.spent, self.spent),
            (money.unknown, self.unknown),
            (money.reserved, sum(place.amount for place, *_ in self.flying)),
        ):
            assert abs(known - reckoned) <= ROUNDING


TestSpending = Spending.TestCase
TestSpending.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
