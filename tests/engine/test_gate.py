"""Admission: the run's own limits, the choice of a scope, and the budget."""

from collections.abc import Sequence
from typing import Any

import pytest

from penstock.engine.allowance import Allowance
from penstock.engine.caps import Caps
from penstock.engine.connections import Connections
from penstock.engine.gate import Gate
from penstock.engine.ledger import Ledger
from penstock.engine.scope import Place
from penstock.engine.scopes import Scopes
from penstock.engine.verdicts import Refusal, Spent, Wait
from penstock.engine.work import Work
from penstock.models import Attempt, Failure, Fault, Outcome, Request, Response, Task, Usage
from penstock.policy.budget import Budget
from penstock.policy.rate import Limits
from penstock.pools import Pools, resolve_pools
from penstock.pricing import Price, Pricing
from penstock.transport.fake import FunctionTransport, respond

URL = "http://127.0.0.1:1/v1"
ANSWER = Response(b"{}", "m", Usage(input_tokens=10, output_tokens=10))
REFUSED = Failure(Fault.ACCOUNT, "no such key", 401, code="invalid_api_key")
DOWN = Failure(Fault.OVERLOADED, "busy", 503)
LOST = Failure(Fault.AMBIGUOUS, "the connection was lost")


def work(index: int = 0, model: str = "m", max_tokens: int = 100) -> Work:
    """A task that is to be sent."""
    body = b'{"model":"%s","max_tokens":%d,"messages":[]}' % (model.encode(), max_tokens)
    task = Task(str(index), index, b"{}", {}, f"row {index}")
    return Work(task, Request("chat", "chat/completions", body, model), 0.0)


def pools(endpoints: dict[str, Any], models: dict[str, Any] | None = None) -> Pools:
    """These endpoints, all of them for every model unless tables say otherwise."""
    tables = {name: {"base_url": URL} | table for name, table in endpoints.items()}
    found = models or {"*": {"endpoints": list(endpoints)}}
    return resolve_pools(None, None, {"OPENAI_API_KEY": "sk-simulated"}, {"endpoints": tables, "models": found})


class Desk:
    """A gate in virtual time, and what it let through."""

    def __init__(
        self,
        found: Pools,
        concurrency: int | None = 100,
        limits: Limits = Limits(),  # noqa: B008
        budget: float | None = None,
        draws: Sequence[float] = (0.5,),
        priced: bool = False,
    ) -> None:
        self._draws = list(draws)
        pricing = Pricing({"m": Price(1.0, 1.0)}, "USD") if priced or budget is not None else Pricing.free()
        self.budget = Budget(budget)
        connections = Connections(lambda endpoint, key: FunctionTransport(lambda path, body: respond()))
        caps = Caps(concurrency, limits=limits)
        scopes = Scopes(found, connections, caps.make_flow)
        allowance = Allowance(10_000, 10_000, lambda calls, amount: allowance.grant(calls, amount))
        self.gate = Gate(scopes, Ledger(pricing, self.budget), allowance, self._draw, caps)

    def _draw(self) -> float:
        self._draws.append(self._draws.pop(0))
        return self._draws[-1]

    def place(self, now_s: float = 0.0, task: Work | None = None) -> Place:
        """A place that must be there."""
        place = self.gate.admit(now_s, task or work())
        assert isinstance(place, Place), place
        return place

    def land(self, place: Place, outcome: Outcome, now_s: float = 1.0, task: Work | None = None) -> None:
        """A call ends, and what it came to is durable at once."""
        task = task or work()
        cost, unknown = self.gate.land(place, task, outcome, now_s)
        if isinstance(outcome, Failure):
            self.gate.refuse(place, task, outcome, now_s)
            task.tried = (*task.tried, place.scope)
            name = place.scope.lane.endpoint.name
            task.record(Attempt(name, 0.0, 1.0, outcome.fault, cost=cost, unknown_cost=unknown), now_s)
        self.gate.release(place)


ONE: dict[str, Any] = {"e": {}}
TWO: dict[str, Any] = {"a": {}, "b": {}}


def test_exactly_the_concurrency_is_let_in() -> None:
    """The next one waits; a place is free when what it came to is durable, and not when the call has landed."""
    desk = Desk(pools(ONE), concurrency=2)
    first = desk.place()
    desk.place()
    assert desk.gate.admit(0.0, work()) == Wait(None, "run")
    desk.gate.land(first, work(), ANSWER, 1.0)
    assert desk.gate.admit(1.0, work()) == Wait(None, "run")
    desk.gate.release(first)
    desk.place(1.0)


def test_a_paused_gate_lets_nobody_in() -> None:
    """Until it is told to go on."""
    desk = Desk(pools(ONE))
    desk.gate.paused = True
    assert desk.gate.admit(0.0, work()) == Wait(None, "run")
    assert desk.gate.snapshot(0.0).binds.startswith("paused")
    desk.gate.paused = False
    desk.place()


def test_nobody_leaves_before_the_providers_wait_has_ended() -> None:
    """By no scope of a lone endpoint, whichever task asks."""
    desk = Desk(pools(ONE), draws=(0.0,))
    desk.land(desk.place(), Failure(Fault.THROTTLED, "slow down", 429, retry_after_s=10.0), 1.0)
    wait = desk.gate.admit(2.0, work())
    assert isinstance(wait, Wait)
    assert wait.until_s is not None
    assert wait.until_s >= 11.0
    assert isinstance(desk.gate.admit(10.9, work()), Wait)
    desk.place(wait.until_s + 1e-6)


def test_other_models_go_on_while_one_is_throttled() -> None:
    """Limits hold per model."""
    desk = Desk(pools(ONE))
    desk.land(desk.place(task=work(model="slow")), Failure(Fault.THROTTLED, "wait", 429, retry_after_s=60.0), 1.0)
    held = desk.gate.admit(2.0, work(model="slow"))
    assert isinstance(held, Wait)
    assert held.holds == "model"
    desk.place(2.0, work(model="fast"))


def test_the_runs_own_rate_holds_for_all_scopes_together() -> None:
    """Two keys of one endpoint do not make it twice as fast."""
    desk = Desk(pools({"e": {"api_keys": ["sk-1", "sk-2"]}}), limits=Limits(rpm=60))
    sent = 0
    for tenth in range(600):
        while sent < 200 and isinstance(place := desk.gate.admit(tenth / 10, work()), Place):
            desk.land(place, ANSWER, tenth / 10)
            sent += 1
    assert 50 <= sent <= 60


def test_a_task_larger_than_the_limit_is_refused_and_no_other_waits_for_it() -> None:
    """It could wait for ever."""
    desk = Desk(pools(ONE), limits=Limits(tpm=50))
    refusal = desk.gate.admit(0.0, work(max_tokens=1000))
    assert isinstance(refusal, Refusal)
    assert "--tpm 50" in refusal.message


@pytest.mark.parametrize("outcome", [REFUSED, DOWN])
def test_a_failed_task_goes_to_an_endpoint_that_it_has_not_tried(outcome: Failure) -> None:
    """At once, and back to the first when it has tried all."""
    desk = Desk(pools(TWO))
    task = work()
    first = desk.place(0.0, task)
    desk.land(first, outcome, 0.1, task)
    assert desk.gate.has_untried(task, 0.1)
    second = desk.place(0.1, task)
    assert {first.scope.lane.endpoint.name, second.scope.lane.endpoint.name} == {"a", "b"}
    desk.land(second, outcome, 0.2, task)
    assert not desk.gate.has_untried(task, 0.2)


def test_a_key_that_is_refused_is_left_alone_and_the_other_takes_over() -> None:
    """Before its first answer one refusal is enough."""
    desk = Desk(pools({"e": {"api_keys": ["sk-1", "sk-2"]}}))
    refused = desk.place()
    desk.land(refused, REFUSED)
    assert desk.gate.serves("m", 1.0)
    others = {desk.place(2.0).scope.lane.key.label for _ in range(20)}
    assert others == {key.label for key in refused.scope.lane.endpoint.keys} - {refused.scope.lane.key.label}


def test_when_every_key_is_out_each_is_named_with_its_words() -> None:
    """For the person who has to mend it."""
    desk = Desk(pools({"e": {"api_keys": ["sk-1", "sk-2"]}}))
    for _ in range(2):
        desk.land(desk.place(), REFUSED)
    assert not desk.gate.serves("m", 2.0)
    refusals = desk.gate.refusals("m", 2.0)
    assert [failure.message for _, failure in refusals] == ["no such key", "no such key"]
    assert all("out: no such key" in status.binds for status in desk.gate.scopes(2.0, 0.0))


def test_reading_the_keys_again_lets_them_in() -> None:
    """As after topping up."""
    found = pools({"e": {"api_keys": ["sk-1"]}})
    desk = Desk(found)
    desk.land(desk.place(), REFUSED)
    assert not desk.gate.serves("m", 1.0)
    assert desk.gate.reload(found) == "e: 1 key"
    assert desk.gate.serves("m", 1.0)


def test_a_lower_priority_is_asked_only_while_the_higher_one_is_ill() -> None:
    """Not because it is full, and again as soon as it is well."""
    desk = Desk(pools({"a": {}, "b": {"priority": 2}}), concurrency=2)
    assert {desk.place().scope.lane.endpoint.name for _ in range(2)} == {"a"}
    ill = Desk(pools({"a": {}, "b": {"priority": 2}}))
    ill.land(ill.place(), Failure(Fault.THROTTLED, "wait", 429, retry_after_s=60.0))
    assert ill.place(2.0).scope.lane.endpoint.name == "b"
    assert ill.place(100.0).scope.lane.endpoint.name == "a"


def test_the_budget_is_reserved_before_anything_is_sent() -> None:
    """A call that it does not take waits for money to come back; with nothing in flight it is the end."""
    desk = Desk(pools(ONE), budget=1.0)
    reserved = desk.place(task=work(max_tokens=100)).amount
    assert 0 < reserved < 1
    exact = Desk(pools(ONE), budget=1.5 * reserved)
    first = exact.place(task=work(max_tokens=100))
    assert exact.gate.admit(0.0, work(max_tokens=100)) == Wait(None, "run")
    exact.land(first, LOST)
    spent = exact.gate.admit(2.0, work(max_tokens=100))
    assert isinstance(spent, Spent)
    assert "is used up" in spent.message
    assert exact.budget.snapshot().unknown == pytest.approx(reserved)


def test_what_an_answer_cost_gives_the_rest_back() -> None:
    """So that the next one can be sent."""
    desk = Desk(pools(ONE), budget=1.0)
    desk.land(desk.place(), ANSWER)
    money = desk.budget.snapshot()
    assert money.spent == pytest.approx(20e-6)
    assert money.reserved == 0.0


def test_without_a_price_a_budget_sends_nothing() -> None:
    """It could not be kept, and the row is not to blame: it stays pending."""
    desk = Desk(pools(ONE), budget=1.0)
    spent = desk.gate.admit(0.0, work(model="unheard-of"))
    assert isinstance(spent, Spent)
    assert "No price is known" in spent.message
    assert '[pricing."unheard-of"]' in spent.hint


@pytest.mark.parametrize(
    ("name", "value"), [("concurrency", 1), ("rpm", 1.0), ("budget", 0.0001), ("max_concurrency", 7), ("tpm", 9)]
)
def test_what_is_set_while_it_works_holds_at_once(name: str, value: float) -> None:
    """For the next call, with others in flight."""
    desk = Desk(pools(ONE), budget=100.0)
    places = [desk.place() for _ in range(3)]
    desk.gate.set_value(0.0, name, value)
    if name != "max_concurrency":
        assert not isinstance(desk.gate.admit(0.5, work()), Place)
    for place in places:
        desk.land(place, ANSWER, 1.0)
    assert desk.gate.snapshot(1.0).in_flight == 0


def test_a_ceiling_that_is_set_holds_in_the_scopes_that_there_are() -> None:
    """A higher one lets them grow, a lower one lets calls land, and a number in between is kept when auto is set."""
    desk = Desk(pools(ONE), concurrency=None)
    desk.gate.set_value(0.0, "max_concurrency", 10)
    places = [desk.place(float(second)) for second in range(10)]
    assert isinstance(desk.gate.admit(10.0, work()), Wait)
    desk.gate.set_value(10.0, "max_concurrency", 300)
    for place in places:
        desk.land(place, ANSWER, 11.0)
    assert desk.gate.snapshot(11.0).limit > 10
    desk.gate.set_value(11.0, "concurrency", 100)
    desk.gate.set_value(11.0, "concurrency", "auto")
    assert desk.gate.snapshot(11.0).limit == 100
    desk.gate.set_value(12.0, "max_concurrency", 7)
    assert desk.gate.snapshot(12.0).limit == 7
    assert desk.gate.scopes(12.0, 0.0)[0].limit == 7


def test_scopes_made_later_have_the_limits_of_now() -> None:
    """Not those that the run began with."""
    desk = Desk(pools(ONE), concurrency=None, limits=Limits(rpm=600))
    desk.place(task=work(model="first"))
    for name, value in (("rpm", None), ("tpm", 5e5), ("concurrency", 3)):
        desk.gate.set_value(0.0, name, value)
    desk.place(1.0, work(model="second"))
    first, second = desk.gate.scopes(2.0, 0.0)
    assert (second.rpm, second.tpm, second.limit) == (first.rpm, first.tpm, first.limit) == (None, 5e5, 3)


def test_auto_in_a_new_scope_goes_as_far_as_it_may_now() -> None:
    """The ceiling is of now too."""
    desk = Desk(pools(ONE), concurrency=None)
    desk.gate.set_value(0.0, "max_concurrency", 4)
    desk.place()
    assert desk.gate.scopes(0.0, 0.0)[0].limit == 4


def test_a_second_copy_goes_elsewhere_where_it_can() -> None:
    """The slow one is likely to be slow again."""
    desk = Desk(pools(TWO))
    for _ in range(10):
        task = work()
        first = desk.place(0.0, task)
        second = desk.gate.admit(0.0, task, avoid=first.scope)
        assert isinstance(second, Place)
        assert second.scope is not first.scope


def test_a_lane_knows_what_must_not_be_quoted() -> None:
    """The key that its calls carry, where they carry one."""
    keyed = Desk(pools({"e": {"api_keys": ["sk-simulated-1"]}})).place().scope.lane
    assert [secret.reveal() for secret in keyed.secrets] == ["sk-simulated-1"]
    assert Desk(pools(ONE)).place().scope.lane.secrets == ()


def test_a_place_that_is_taken_is_not_never() -> None:
    """One endpoint is busy and the other too small for the task: it waits for the first."""
    desk = Desk(pools({"busy": {"max_concurrency": 1}, "small": {"tpm": 50}}))
    first = desk.place(task=work(max_tokens=100))
    assert first.scope.lane.endpoint.name == "busy"
    second = desk.gate.admit(0.0, work(max_tokens=100))
    assert isinstance(second, Wait)


def test_a_limit_that_is_set_while_it_works_fails_no_row() -> None:
    """A slip of the hand pauses the run, and the tasks stay pending."""
    desk = Desk(pools(ONE))
    desk.gate.set_value(0.0, "tpm", 10.0)
    assert isinstance(desk.gate.admit(1.0, work(max_tokens=1000)), Spent)


def test_what_may_have_been_billed_before_there_was_a_budget_counts() -> None:
    """`penstock ctl RUN set budget=…` counts all that was lost before."""
    desk = Desk(pools(ONE), budget=None, priced=True)
    desk.land(desk.place(), LOST)
    unknown = desk.budget.snapshot().unknown
    assert unknown > 0
    desk.gate.set_value(1.0, "budget", unknown / 2)
    assert isinstance(desk.gate.admit(2.0, work()), Spent)


def test_long_answers_are_expected_once_there_was_one() -> None:
    """A limit of tokens is kept though no task says how long its answer may be."""
    desk = Desk(pools(ONE), limits=Limits(tpm=6000))
    open_end = Work(work().task, Request("chat", "chat/completions", b'{"model":"m"}', "m"), 0.0)
    place = desk.place(0.0, open_end)
    desk.land(place, Response(b"{}", "m", Usage(output_tokens=4000)), 1.0, open_end)
    assert desk.place(61.5, open_end).tokens >= 3900


def test_a_retry_that_waits_for_the_retry_budget_waits_for_a_landing() -> None:
    """It holds no fresh task back, asks at no time of its own, and goes when others have come back."""
    desk = Desk(pools(ONE))
    retry = work()
    retry.record(Attempt("e", 0.0, 1.0, Fault.OVERLOADED), 0.0)
    flying = []
    while isinstance(place := desk.gate.admit(0.0, retry), Place):
        flying.append(place)
    assert place == Wait(None, "task")
    desk.place()
    desk.land(flying.pop(), ANSWER, 1.0, retry)
    desk.place(1.0, retry)


def test_a_retry_waits_for_a_landing_where_every_other_scope_is_full() -> None:
    """Not for a second to pass."""
    desk = Desk(pools({"a": {"max_concurrency": 1}, "b": {"max_concurrency": 1}}))
    failed = work()
    first = desk.place(0.0, failed)
    other = desk.place()
    desk.land(first, DOWN, 0.5, failed)
    assert desk.gate.admit(0.5, failed) == Wait(None, "task")
    desk.land(other, ANSWER, 0.6)
    assert desk.place(0.6, failed).scope is other.scope


def test_who_waits_for_a_key_that_is_out_is_told_until_when() -> None:
    """The call that tries it again may tell nothing, and then nothing else lands."""
    desk = Desk(pools({"e": {"api_keys": ["sk-1", "sk-2"]}}))
    for _ in range(2):
        desk.land(desk.place(), REFUSED)
    trials = [desk.place(400.0) for _ in range(2)]
    for trial in trials:
        desk.land(trial, Failure(Fault.REJECTED, "no such field", 400), 401.0)
    wait = desk.gate.admit(401.0, work())
    assert isinstance(wait, Wait)
    assert wait.until_s == pytest.approx(460.0)
