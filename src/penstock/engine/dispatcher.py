"""The one place that decides what is sent next.

Nothing polls. `pump` runs when something changed: tasks arrived, a call landed, a back-off ended, the gate opened.
Tasks in back-off sit in a heap and hold no place in the gate; a call is the only asyncio task there is.
"""

import asyncio
import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from penstock.clock import Clock
from penstock.endpoints import Endpoint
from penstock.engine.caller import call
from penstock.engine.gate import Gate, Lane, Wait
from penstock.engine.requests import Renderer
from penstock.engine.work import Work, unusable
from penstock.errors import RunPaused
from penstock.models import Attempt, Failure, Fault, Outcome, Response, Result, Settled, Task
from penstock.policy.retry import GiveUp, Pause, Retry, RetryPolicy, decide
from penstock.pricing import Pricing

FIRST_TASKS = 20
"""When the first so many tasks are all rejected, the template or the options are wrong, not the tasks."""
MIN_FRESH = 64
"""Fresh tasks kept at hand however low the concurrency."""
WAITING_PER_CALL = 4
"""Tasks in back-off per place in the gate, beyond which no fresh task is begun: the memory stays bounded."""


class Dispatcher:
    """Starts calls, decides on what comes back, and settles.

    `settle` gets every result, `on_warning` what a person should know at once. `low_on_tasks` is set when more fresh
    tasks are wanted, `stopped` when nothing is in flight any more and nothing more will be started; then `trouble` says
    why the run cannot go on, if so, and `defect` holds an exception that should not have been. `answered` says whether
    the run has an answer, of this process or of an earlier one.
    """

    def __init__(
        self,
        gate: Gate,
        renderer: Renderer,
        policy: RetryPolicy,
        pricing: Pricing,
        clock: Clock,
        settle: Callable[[Result], None],
    ) -> None:
        self._gate = gate
        self._renderer = renderer
        self._policy = policy
        self._pricing = pricing
        self._clock = clock
        self._settle = settle
        self.on_warning: Callable[[str], None] = lambda message: None
        self._loop = asyncio.get_running_loop()
        self.draw: Callable[[], float] = random.random
        self._fresh: deque[tuple[Task, float]] = deque()
        self._waiting: list[tuple[float, int, Work]] = []
        self._order = itertools.count()
        self._head: Work | None = None
        self._calls: dict[asyncio.Task[None], Work] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s: float | None = None
        self._more_to_come = True
        self._reached = False
        self._answered_s = self._clock.monotonic_s()
        self._unreachable = False
        self._first: set[int] = set()
        self._rejected_first = 0
        self._uncommitted: dict[int, Lane] = {}
        self._given_up = 0
        limit = gate.snapshot(0.0).limit
        self._low_tasks = max(limit, MIN_FRESH)
        self._waiting_limit = WAITING_PER_CALL * limit + MIN_FRESH
        self.low_on_tasks = asyncio.Event()
        self.low_on_tasks.set()
        self.stopped = asyncio.Event()
        self.draining = False
        self.answered = False
        self.trouble: RunPaused | None = None
        self.defect: BaseException | None = None
        self.landed = 0

    @property
    def in_flight(self) -> int:
        """Calls under way."""
        return len(self._calls)

    @property
    def waiting(self) -> int:
        """Tasks in back-off."""
        return len(self._waiting)

    @property
    def unknown(self) -> int:
        """Attempts of tasks that stay pending which may have been billed: calls given up, and ambiguous ones."""
        unsettled = [work for _, _, work in self._waiting] + ([self._head] if self._head else [])
        return self._given_up + sum(work.ambiguous for work in unsettled)

    def add(self, tasks: Sequence[Task]) -> None:
        """Fresh tasks, already accepted by the journal."""
        now_s = self._clock.monotonic_s()
        self._fresh.extend((task, now_s) for task in tasks)
        self.pump()

    def end_of_tasks(self) -> None:
        """No more tasks will be added."""
        self._more_to_come = False
        self.pump()

    def drain(self) -> None:
        """Start nothing any more; what is in flight may land."""
        self.draining = True
        self.pump()

    def pause(self, trouble: RunPaused) -> None:
        """Drain, because the run cannot go on; the first reason is kept."""
        self.trouble = self.trouble or trouble
        self.drain()

    def fail(self, defect: BaseException) -> None:
        """Drain, because of an exception that should not have been; the first is kept."""
        self.defect = self.defect or defect
        self.drain()

    def cancel(self) -> None:
        """Drain, and give up what is in flight: it may be billed, and its tasks stay pending."""
        for asyncio_task, work in self._calls.items():
            if not asyncio_task.cancelling() and asyncio_task.cancel():
                self._given_up += 1 + work.ambiguous
        self.drain()

    def pump(self) -> None:
        """Start every call that may start now."""
        try:
            self._start_due(self._clock.monotonic_s())
        except Exception as error:
            self.fail(error)
        self._tell()

    def _start_due(self, now_s: float) -> None:
        while not self.draining and (work := self._head or self._next_due(now_s)) is not None:
            lane = self._gate.admit(now_s)
            if isinstance(lane, Wait):
                self._head = work
                self._wake_at(lane.until_s)
                return
            self._head = None
            self._start(work, lane, now_s)
        self._wake_at(self._waiting[0][0] if self._waiting and not self.draining else None)

    def _next_due(self, now_s: float) -> Work | None:
        """The task whose turn it is: one whose back-off has ended, else a fresh one."""
        if self._waiting and self._waiting[0][0] <= now_s:
            return heapq.heappop(self._waiting)[2]
        while self._fresh and len(self._waiting) < self._waiting_limit:
            task, since_s = self._fresh.popleft()
            if len(self._first) < FIRST_TASKS:
                self._first.add(task.index)
            try:
                return Work(task, self._renderer.render(task), since_s)
            except ValueError as error:
                self._settle(unusable(task, str(error), self._clock.unix_s()))
                self._count_rejection(task.index, str(error))
                if self.draining:
                    return None
        return None

    def _start(self, work: Work, lane: Lane, now_s: float) -> None:
        if work.sent_s is None:
            work.sent_s = now_s
        asyncio_task = self._loop.create_task(self._call(work, lane, now_s))
        self._calls[asyncio_task] = work
        # Not a `finally` inside the call: one that is cancelled before its first step never gets there.
        asyncio_task.add_done_callback(partial(self._end_call, lane))

    async def _call(self, work: Work, lane: Lane, sent_s: float) -> None:
        started_at = self._clock.unix_s()
        outcome = await call(lane.transport, work.request, lane.secrets)
        now_s = self._clock.monotonic_s()
        work.record(_attempt(lane, started_at, (now_s - sent_s) * 1000, outcome), now_s)
        self._land(work, lane, outcome, now_s)

    def _end_call(self, lane: Lane, asyncio_task: asyncio.Task[None]) -> None:
        work = self._calls.pop(asyncio_task)
        if asyncio_task.cancelled():
            if not asyncio_task.cancelling():
                self.fail(RuntimeError("A transport cancelled a call that nobody had given up."))
        elif (error := asyncio_task.exception()) is not None:
            self.fail(error)
        if not work.settled:
            self._gate.release(lane)
            self.pump()
        elif not self._calls:
            self._tell()

    def committed(self, batch: Sequence[Settled]) -> None:
        """These results are durable. Only now others may take the places of their calls: what a crash would lose, in
        flight or landed, is never more than the concurrency."""
        for settled in batch:
            if (lane := self._uncommitted.pop(settled.result.index, None)) is not None:
                self._gate.release(lane)
        self.pump()

    def _land(self, work: Work, lane: Lane, outcome: Outcome, now_s: float) -> None:
        self.landed += 1
        if isinstance(outcome, Failure):
            self._after_failure(work, lane, outcome, now_s)
            return
        self._reached = self.answered = True
        self._answered_s = now_s
        cost = self._cost(outcome, work.request.model, lane)
        self._settle_call(work, lane, work.answered(outcome, cost, self._pricing.currency, self._clock.unix_s()))

    def _settle_call(self, work: Work, lane: Lane, result: Result) -> None:
        work.settled = True
        self._uncommitted[result.index] = lane
        self._settle(result)

    def _cost(self, response: Response, asked: str, lane: Lane) -> float | None:
        """By the name of the model that answered, or else by the name that was asked for."""
        url = lane.endpoint.base_url
        cost = self._pricing.cost(response.model or asked, response.usage, url)
        return self._pricing.cost(asked, response.usage, url) if cost is None and response.model != asked else cost

    def _after_failure(self, work: Work, lane: Lane, failure: Failure, now_s: float) -> None:
        self._note_contact(failure)
        history = work.history(now_s, self._reached, self._answered_s)
        match decide(self._policy, failure, history, self.draw()):
            case Retry(after_s, shared):
                if shared:
                    self._gate.close_until(now_s + after_s)
                heapq.heappush(self._waiting, (now_s + after_s, next(self._order), work))
            case GiveUp():
                self._settle_call(work, lane, work.failed(failure, self._clock.unix_s()))
                if failure.fault is Fault.REJECTED:
                    self._count_rejection(work.task.index, failure.message)
            case Pause(reason, hint):
                self._given_up += work.ambiguous
                self.pause(RunPaused(reason, _with_key_hint(hint, failure, lane.endpoint)))

    def _note_contact(self, failure: Failure) -> None:
        """Say so when the endpoint cannot be reached, once, and not only when the patience has run out."""
        if failure.fault is not Fault.UNSENT:
            self._reached, self._unreachable = True, False
        elif not self._unreachable:
            self._unreachable = True
            self.on_warning(f"{failure.message}; trying again for {self._policy.patience_for(self._reached):.0f} s.")

    def _count_rejection(self, index: int, message: str) -> None:
        self._rejected_first += index in self._first
        if self._rejected_first == FIRST_TASKS and not self.answered:
            reason = f"The first {FIRST_TASKS} tasks were all rejected, the last with: {message}"
            hint = "Look at the requests with --dry-run, mend the prompt or the rows, and begin anew with --fresh."
            self.pause(RunPaused(reason, hint))

    def _wake_at(self, due_s: float | None) -> None:
        if due_s == self._timer_s:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_s = due_s
        if due_s is not None:
            self._timer = self._loop.call_later(max(0.0, due_s - self._clock.monotonic_s()), self._wake)

    def _wake(self) -> None:
        self._timer = self._timer_s = None
        self.pump()

    def _tell(self) -> None:
        if self.draining or (len(self._fresh) < self._low_tasks and len(self._waiting) < self._waiting_limit):
            self.low_on_tasks.set()
        else:
            self.low_on_tasks.clear()
        nothing_left = not (self._fresh or self._waiting or self._head or self._more_to_come)
        if not self._calls and (self.draining or nothing_left):
            self.stopped.set()


def _with_key_hint(hint: str, failure: Failure, endpoint: Endpoint) -> str:
    """The hint, with the place of the key where the provider refuses it."""
    if failure.status != 401:
        return hint
    if endpoint.api_key is None:
        return f"No key was sent. Set one with: export {endpoint.key_from or 'OPENAI_API_KEY'}=…"
    return f"{hint} It came from {endpoint.key_from}."


def _attempt(lane: Lane, started_at: float, latency_ms: float, outcome: Outcome) -> Attempt:
    latency_ms = round(latency_ms, 1)
    if isinstance(outcome, Failure):
        return Attempt(lane.endpoint.name, started_at, latency_ms, outcome.fault, outcome.status, outcome.message)
    return Attempt(lane.endpoint.name, started_at, latency_ms)
