"""A client of flow control in virtual time, with the real policies and no wall clock, and providers to meet it.

The client has tasks without end and asks a `Flow` as the engine does: what was turned away comes back when the retry
policy says so, and goes first. A module of tests finds all of it in the fixture `world`: it cannot import it.
"""

import heapq
import itertools
import math
from collections.abc import Callable
from random import Random

import msgspec
import pytest

from penstock.models import Failure, Fault, Outcome, Response, Usage
from penstock.policy.flow import Flow
from penstock.policy.landing import landing_of
from penstock.policy.retry import History, Retry, RetryPolicy, decide

TOKENS_PER_S = 40.0
"""What one call is served at when nothing slows it down."""
TIMED_OUT = Failure(Fault.AMBIGUOUS, "no answer in time", code="timeout")
WAITING_PER_CALL = 2
"""Tasks that may wait for their retries, for each call that may be in flight."""


class Timeline:
    """Moments to come, in order."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._order = itertools.count()
        self._moments: list[tuple[float, int, Callable[[], None]]] = []

    def at(self, when_s: float, then: Callable[[], None]) -> None:
        """Do something at a moment."""
        heapq.heappush(self._moments, (when_s, next(self._order), then))

    def run(self, until_s: float) -> None:
        """Live through everything until then."""
        while self._moments and self._moments[0][0] <= until_s:
            self.now_s, _, then = heapq.heappop(self._moments)
            then()
        self.now_s = until_s


class Task(msgspec.Struct, gc=False):
    """A task that takes `size_s` seconds to serve, and what it has been through."""

    size_s: float
    attempts: int = 0
    throttled: int = 0
    ambiguous: int = 0

    @property
    def tokens(self) -> int:
        """The length of its answer."""
        return max(1, round(self.size_s * TOKENS_PER_S))


Landed = Callable[[Outcome], None]


def answer_to(task: Task) -> Response:
    """The whole answer."""
    return Response(b"", "", Usage(output_tokens=task.tokens))


class Metered:
    """Takes `per_s` requests a second and `burst` at once, and no more than `most` in flight; else 429.

    A request that is turned away costs `penalty` of those that would be let in. During the outage nearly all get 529.
    """

    def __init__(
        self,
        per_s: float = math.inf,
        burst: float = math.inf,
        penalty: float = 0.0,
        most: float = math.inf,
        outage_s: tuple[float, float] = (math.inf, math.inf),
    ) -> None:
        self._per_s, self._burst, self._penalty, self._most, self._outage_s = per_s, burst, penalty, most, outage_s
        self._level, self._at_s = burst, 0.0
        self._in_flight = 0

    def take(self, time: Timeline, draw: float, task: Task, landed: Landed) -> None:
        """A request arrives."""
        refusal = self._refusal(time.now_s, draw)
        if refusal is not None:
            time.at(time.now_s + (0.3 if refusal.status == 529 else 0.15), lambda: landed(refusal))
            return
        self._in_flight += 1
        time.at(time.now_s + task.size_s, lambda: self._answer(task, landed))

    def _answer(self, task: Task, landed: Landed) -> None:
        self._in_flight -= 1
        landed(answer_to(task))

    def _refusal(self, now_s: float, draw: float) -> Failure | None:
        if self._outage_s[0] <= now_s < self._outage_s[1] and draw < 0.95:
            return Failure(Fault.OVERLOADED, "overloaded", 529)
        if self._in_flight >= self._most:
            return Failure(Fault.THROTTLED, "too many in flight", 429, retry_after_s=1.0)
        if math.isinf(self._per_s):
            return None
        self._level = min(self._burst, self._level + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        if self._level >= 1:
            self._level -= 1
            return None
        self._level = max(0.0, self._level - self._penalty)
        return Failure(Fault.THROTTLED, "too fast", 429, retry_after_s=max(1.0, (1 - self._level) / self._per_s))


class Shared:
    """A machine that serves `capacity` tokens a second, evenly shared by all in flight, each with a deadline.

    `_served` is what every call in flight has got since the begin, so that a call ends when it has come far enough.
    """

    def __init__(self, capacity: float = 4_000.0, timeout_s: float = 90.0) -> None:
        self._capacity, self._timeout_s = capacity, timeout_s
        self._served, self._at_s = 0.0, 0.0
        self._ends: list[tuple[float, int, Task, Landed]] = []
        self._begun: dict[int, float] = {}
        self._numbers = itertools.count()
        self._plan = 0
        self.wasted = self.kept = 0.0

    def take(self, time: Timeline, draw: float, task: Task, landed: Landed) -> None:
        """A request arrives."""
        self._serve(time.now_s)
        number = next(self._numbers)
        self._begun[number] = self._served
        heapq.heappush(self._ends, (self._served + task.tokens, number, task, landed))
        time.at(time.now_s + self._timeout_s, lambda: self._give_up(time, number, landed))
        self._plan_next(time)

    def _speed(self) -> float:
        return min(TOKENS_PER_S, self._capacity / max(1, len(self._begun)))

    def _serve(self, now_s: float) -> None:
        self._served += (now_s - self._at_s) * self._speed()
        self._at_s = now_s

    def _plan_next(self, time: Timeline) -> None:
        self._plan += 1
        plan = self._plan
        while self._ends and self._ends[0][1] not in self._begun:
            heapq.heappop(self._ends)
        if self._ends:
            end_s = time.now_s + max(0.0, self._ends[0][0] - self._served) / self._speed()
            time.at(end_s, lambda: self._end(time, plan))

    def _end(self, time: Timeline, plan: int) -> None:
        if plan != self._plan:
            return
        self._serve(time.now_s)
        _, number, task, landed = heapq.heappop(self._ends)
        del self._begun[number]
        self.kept += task.tokens
        self._plan_next(time)
        landed(answer_to(task))

    def _give_up(self, time: Timeline, number: int, landed: Landed) -> None:
        if number in self._begun:
            self._serve(time.now_s)
            self.wasted += self._served - self._begun.pop(number)
            self._plan_next(time)
            landed(TIMED_OUT)


class Moody:
    """Turns a share of the requests away, whatever their pace, and asks for a wait of `asked_s`, if any."""

    def __init__(self, share: float, asked_s: float | None) -> None:
        self._share, self._asked_s = share, asked_s

    def take(self, time: Timeline, draw: float, task: Task, landed: Landed) -> None:
        """A request arrives."""
        if draw < self._share:
            refusal = Failure(Fault.THROTTLED, "no room", 429, retry_after_s=self._asked_s)
            time.at(time.now_s + 0.15, lambda: landed(refusal))
        else:
            time.at(time.now_s + task.size_s, lambda: landed(answer_to(task)))


class Failing:
    """Answers a share of the requests with 503, `failed_s` after they came."""

    def __init__(self, share: float, failed_s: float) -> None:
        self._share, self._failed_s = share, failed_s

    def take(self, time: Timeline, draw: float, task: Task, landed: Landed) -> None:
        """A request arrives."""
        if draw < self._share:
            time.at(time.now_s + self._failed_s, lambda: landed(Failure(Fault.OVERLOADED, "ill", 503)))
        else:
            time.at(time.now_s + task.size_s, lambda: landed(answer_to(task)))


Provider = Metered | Shared | Moody | Failing


class Client:
    """Sends tasks without end as the flow allows, and counts what becomes of them."""

    def __init__(self, flow: Flow, provider: Provider, size_s: Callable[[Random], float], seed: int) -> None:
        self.time = Timeline()
        self._flow, self._size_s = flow, size_s
        self.provider = provider
        self._random = Random(seed)
        self._retries: list[tuple[float, int, Task]] = []
        self._order = itertools.count()
        self._wake_s = math.inf
        self._moved_s = 0.0
        self._call_seconds = 0.0
        self.sent = self.answered = self.throttled = self.failed = self.given_up = 0
        self.sent_at: list[tuple[float, bool]] = []
        self.answered_at: list[float] = []

    def run(self, until_s: float) -> None:
        """Live through so many seconds."""
        self._pump()
        self.time.run(until_s)
        self._count_in_flight()

    @property
    def mean_in_flight(self) -> float:
        """Calls in flight, on average from the begin."""
        return self._call_seconds / self.time.now_s

    def _count_in_flight(self) -> None:
        self._call_seconds += self._flow.in_flight * (self.time.now_s - self._moved_s)
        self._moved_s = self.time.now_s

    def _pump(self) -> None:
        now_s = self.time.now_s
        while self._retries and self._retries[0][0] <= now_s:
            due = heapq.heappop(self._retries)
            if (wait_s := self._flow.retry_wait_s(now_s)) != 0.0:
                heapq.heappush(self._retries, due)
                if wait_s is not None:  # else the next landing tells
                    self._wake_at(now_s + wait_s)
                break
            if not self._start(due[2], retry=True):
                heapq.heappush(self._retries, due)
                return
        while len(self._retries) < WAITING_PER_CALL * self._flow.limit(now_s):
            if not self._start(None, retry=False):
                break
        if self._retries and self._retries[0][0] > now_s:
            self._wake_at(self._retries[0][0])

    def _start(self, task: Task | None, *, retry: bool) -> bool:
        now_s = self.time.now_s
        wait_s = self._flow.wait_s(now_s, 0, retry)
        if wait_s != 0.0:
            if wait_s is not None:
                self._wake_at(now_s + wait_s)
            return False
        task = task or Task(self._size_s(self._random))
        self._count_in_flight()
        self._flow.start(now_s, 0, retry)
        self.sent += 1
        self.sent_at.append((now_s, retry))
        draw = self._random.random()
        self.provider.take(self.time, draw, task, lambda outcome: self._land(task, now_s, retry, outcome))
        return True

    def _wake_at(self, when_s: float) -> None:
        if self.time.now_s < when_s < self._wake_s:
            self._wake_s = when_s
            self.time.at(when_s, self._wake)

    def _wake(self) -> None:
        if self.time.now_s >= self._wake_s:
            self._wake_s = math.inf
            self._pump()

    def _land(self, task: Task, sent_s: float, retry: bool, outcome: Outcome) -> None:
        now_s = self.time.now_s
        self._count_in_flight()
        self._flow.land(now_s, landing_of(outcome, sent_s, now_s), self._random.random(), retry)
        if isinstance(outcome, Failure):
            self._after_failure(task, outcome)
        else:
            self.answered += 1
        self._pump()

    def _after_failure(self, task: Task, failure: Failure) -> None:
        throttled = failure.fault is Fault.THROTTLED
        task.throttled += throttled
        task.attempts += not throttled
        task.ambiguous += failure.fault is Fault.AMBIGUOUS
        self.throttled += throttled
        self.failed += not throttled
        history = History(task.attempts, task.ambiguous, task.throttled)
        match decide(RetryPolicy(), failure, history, self._random.random()):
            case Retry(after_s):
                self._retry_at(task, self.time.now_s + after_s)
            case _:
                self.given_up += 1

    def _retry_at(self, task: Task, due_s: float) -> None:
        heapq.heappush(self._retries, (due_s, next(self._order), task))


class World:
    """What there is."""

    client = Client
    metered = Metered
    shared = Shared
    moody = Moody
    failing = Failing


@pytest.fixture(scope="session")
def world() -> World:
    """A client and its providers."""
    return World()
