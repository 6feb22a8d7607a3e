"""A scope: an endpoint, one of its keys and a model there. Providers limit by it, so flow is controlled by it."""

from collections.abc import Callable

import msgspec

from penstock.endpoints import Endpoint, Key
from penstock.models import Failure, Outcome, Response
from penstock.policy.announced import Announced
from penstock.policy.flow import Flow
from penstock.policy.landing import Kind, Landing
from penstock.policy.routing import LatencyAverage
from penstock.policy.standing import Standing
from penstock.redaction import Secret
from penstock.transport.protocol import Transport

LOOK_EVERY_S = 5.0
"""How often the announced limits are read off an answer's headers."""


class Lane(msgspec.Struct, frozen=True):
    """One way to send a call: an endpoint, a key, the model's name there, and the connections."""

    endpoint: Endpoint
    key: Key
    model: str
    transport: Transport

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """The credentials that a call by this lane carries."""
        return (self.key.secret,) if self.key.secret is not None else ()


class Scope:
    """A lane with its flow control. `account` is the standing of its key, `offer` that of its model at the endpoint."""

    def __init__(self, lane: Lane, flow: Flow, account: Standing, offer: Standing) -> None:
        self.lane = lane
        self.flow = flow
        self.account = account
        self.offer = offer
        self.latency = LatencyAverage()
        self.on_pause: Callable[[Scope, float], None] = lambda scope, until_s: None
        """Called when the provider has named a time, with the end of the pause on the monotonic clock."""
        self._look_s = 0.0

    def serves(self, now_s: float) -> bool:
        """Whether its key and its model are let in, as far as is known."""
        return self.account.is_in(now_s) and self.offer.is_in(now_s)

    def out_s(self, now_s: float) -> float:
        """Seconds until its key and its model may be tried again."""
        return max(self.account.out_until_s(now_s), self.offer.out_until_s(now_s)) - now_s

    def start(self, now_s: float, tokens: int, retry: bool) -> None:
        """A call leaves."""
        self.flow.start(now_s, tokens, retry)
        self.account.start(now_s)
        self.offer.start(now_s)

    def wants_headers(self, now_s: float) -> bool:
        """Whether it is time to look for announced limits."""
        return now_s >= self._look_s

    def learn_limits(self, announced: Announced, now_s: float) -> None:
        """Learn the limits that an answer's headers announce."""
        self._look_s = now_s + LOOK_EVERY_S
        self.flow.learn(now_s, announced)

    def land(self, place: "Place", outcome: Outcome, landing: Landing, draw: float) -> None:
        """Learn from what a call came to."""
        now_s = landing.now_s
        self.flow.land(now_s, landing, draw, place.retry)
        if isinstance(outcome, Response):
            self.latency.note(now_s - place.started_s)
            self.account.answered(now_s, place.started_s)
            self.offer.answered(now_s, place.started_s)
        elif outcome.retry_after_s is not None:
            self.on_pause(self, self.flow.paused_until_s(now_s))

    def give_up(self, place: "Place", now_s: float) -> None:
        """A call was cancelled: it tells nothing."""
        landing = Landing(Kind.UNTOLD, sent_s=place.started_s, now_s=now_s, reserved_tokens=place.tokens)
        self.flow.land(now_s, landing, 0.0, place.retry)

    def refuse(self, failure: Failure, now_s: float, task: int) -> bool:
        """Take the key, or the model, out for what the provider said of it to a task; whether it is out now."""
        standing = self.offer if failure.code == "model_not_found" else self.account
        return standing.refuse(now_s, failure, task)

    def said(self, now_s: float) -> Failure | None:
        """What the provider said of the key, or of the model, that is out; None where both are let in."""
        if self.account.out_until_s(now_s):
            return self.account.failure
        return self.offer.failure if self.offer.out_until_s(now_s) else None


class Place(msgspec.Struct, gc=False):
    """What a call has taken from the gate: a scope, tokens of its rate, and money of the budget."""

    scope: Scope
    started_s: float
    tokens: int = 0
    amount: float = 0.0
    retry: bool = False
    kept: bool = False
    """Whether what the call came to is on its way into the journal, which gives the place back when it is durable."""
