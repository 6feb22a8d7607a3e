"""The one place that decides what is sent next.

Nothing polls. `pump` runs when something changed: tasks arrived, a call landed, a back-off ended, the gate opened.
Tasks in back-off sit in a heap and hold no place in the gate; a call is the only asyncio task there is.
"""

import asyncio
import random
from collections.abc import Callable, Sequence

import msgspec

from penstock.clock import Clock
from penstock.engine.alarm import Alarm, sooner
from penstock.engine.attempts import attempt_of
from penstock.engine.first_tasks import FirstTasks
from penstock.engine.flight import Executor, Flight
from penstock.engine.gate import Gate
from penstock.engine.hedges import Hedges
from penstock.engine.losses import Losses
from penstock.engine.queues import Line, Queues
from penstock.engine.refusals import asked_to_wait, paused_by
from penstock.engine.requests import Renderer
from penstock.engine.scope import Place, Scope
from penstock.engine.tasks import TaskExecutor
from penstock.engine.verdicts import Refusal, Spent, Wait
from penstock.engine.work import Work, unusable
from penstock.errors import RunPaused
from penstock.models import Failure, Fault, Outcome, Response, Result, Settled, Task
from penstock.policy.announced import Announced
from penstock.policy.deadline import TIMEOUTS, deadline_s
from penstock.policy.retry import GiveUp, History, Pause, Retry, RetryPolicy, decide

MIN_FRESH = 64
"""Fresh tasks kept at hand however low the concurrency."""
WAITING_PER_CALL = 4
"""Tasks in back-off per place in the gate, beyond which no fresh task is begun: the memory stays bounded."""
HELD_FACTOR = 8
"""As many times more tasks are kept where one model's limit holds its own back, so that others find theirs."""


class Dispatcher:
    """Starts calls, decides on what comes back, and settles.

    `settle` gets every result, `on_warning` what a person should know at once. `low_on_tasks` is set when more fresh
    tasks are wanted, `stopped` when nothing is in flight any more and nothing more will be started; then `trouble` says
    why the run cannot go on, if so, and `defect` holds an exception that should not have been. `answered` says whether
    the run has an answer, of this process or of an earlier one. `executor` makes the calls.
    """

    def __init__(
        self,
        gate: Gate,
        renderer: Renderer,
        policy: RetryPolicy,
        clock: Clock,
        settle: Callable[[Result], None],
        hedges: Hedges | None = None,
    ) -> None:
        self._gate = gate
        self._renderer = renderer
        self._policy = policy
        self._clock = clock
        self._settle = settle
        self._hedges = hedges
        self.on_warning: Callable[[str], None] = lambda message: None
        self._loop = asyncio.get_running_loop()
        self._pumps = False
        self._begins = True
        self.executor: Executor = TaskExecutor(self.fail)
        self.draw: Callable[[], float] = random.random
        self._queues = Queues(renderer.model_of)
        self._flights: dict[Flight, None] = {}
        self._alarm = Alarm(clock, self.pump)
        self._more_to_come = True
        self._reached = False
        self._answered_s = self._clock.monotonic_s()
        self._unsent_since_s: float | None = None
        self._first = FirstTasks()
        self._uncommitted: dict[int, Place] = {}
        self.losses = Losses(self._recorded)
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
        return len(self._flights)

    @property
    def waiting(self) -> int:
        """Tasks in back-off."""
        return self._queues.waiting

    @property
    def unknown(self) -> int:
        """Attempts of tasks that stay pending which may have been billed: calls given up, and ambiguous ones."""
        return self.losses.calls + sum(work.ambiguous for work in self._queues.works())

    @property
    def unknown_cost(self) -> float:
        """What those may have cost."""
        return self.losses.amount + sum(work.unknown_cost for work in self._queues.works())

    def add(self, tasks: Sequence[Task]) -> None:
        """Fresh tasks, already accepted by the journal."""
        self._queues.add(tasks, self._clock.monotonic_s())
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
        for flight in self._flights:
            if not flight.given_up:
                amount = self._give_up(flight) + flight.work.unknown_cost
                self.losses.give_up(1 + flight.work.ambiguous, amount)
        self.drain()

    def _give_up(self, flight: Flight) -> float:
        """What a call that is given up may cost."""
        flight.given_up = True
        self.executor.give_up(flight)
        return self._gate.give_up(flight.place, flight.work, self._clock.monotonic_s())

    def committed(self, batch: Sequence[Settled]) -> None:
        """These results are durable. Only now others may take the places of their calls: what a crash would lose, in
        flight or landed, is never more than the concurrency."""
        for settled in batch:
            if (place := self._uncommitted.pop(settled.result.index, None)) is not None:
                self._gate.release(place)
        self.pump()

    # Starting

    def pump(self) -> None:
        """Start every call that may start now."""
        now_s = self._clock.monotonic_s()
        try:
            self._start_due(now_s)
        except Exception as error:
            self.fail(error)
        self._tell(now_s)

    def _pump_soon(self) -> None:
        """Once for all calls that end within a turn of the loop."""
        if not self._pumps:
            self._pumps = True
            self._loop.call_soon(self._pump_now)

    def _pump_now(self) -> None:
        self._pumps = False
        self.pump()

    def _start_due(self, now_s: float) -> None:
        self._queues.rouse(now_s)
        if self._hedges is not None and not self.draining:
            self._hedge(self._hedges, now_s)
        wake_s = self._queues.next_due_s()
        self._begins = self._queues.waiting < self._waiting_limit(now_s)
        lines = self._queues.lines()
        while lines and not self.draining:
            line = lines[0]
            line.held = False
            if (work := self._next(line)) is None:
                lines.popleft()
                continue
            place = self._gate.admit(now_s, work)
            if isinstance(place, Place):
                self._start(work, place)
                lines.rotate(-1)
            elif isinstance(place, Wait):
                wake_s = sooner(wake_s, place.until_s)
                if not line.hold(work, place):
                    continue
                if place.holds == "run":
                    break
                lines.popleft()
            else:
                self._turn_away(work, line, place)
        if self._hedges is not None:
            wake_s = sooner(wake_s, self._hedges.next_s(now_s))
        self._alarm.set(None if self.draining else wake_s)

    def _hedge(self, hedges: Hedges, now_s: float) -> None:
        while (flight := hedges.due(now_s)) is not None:
            second = self._gate.admit(now_s, flight.work, avoid=flight.place.scope)
            if not isinstance(second, Place):
                return
            hedges.sent()
            self._start(flight.work, second)

    def _next(self, line: Line) -> Work | None:
        """Whose turn it is in a line; rows that give no request are settled on the way."""
        while (found := line.pop(fresh=self._begins)) is not None:
            work = found if isinstance(found, Work) else self._begin(*found)
            if work is not None or self.draining:
                return work
        return None

    def _begin(self, task: Task, since_s: float) -> Work | None:
        self._first.begin(task.index)
        try:
            return Work(task, self._renderer.render(task), since_s)
        except ValueError as error:
            self._settle(unusable(task, str(error), self._clock.unix_s()))
            self._count_rejection(task.index, str(error))
            return None

    def _turn_away(self, work: Work, line: Line, answer: Refusal | Spent) -> None:
        """A task that the user's own limits do not let through, or the end of the budget."""
        if isinstance(answer, Spent):
            line.put_back(work)
            self.pause(RunPaused(self._reason(answer.message, answer.asked_s), answer.hint, answer.larger))
        elif work.attempts:
            work.settled = True
            failure = Failure(Fault.REJECTED, answer.message, code="limit")
            self._settle(work.failed(failure, self._gate.currency, self._clock.unix_s()))
        else:
            self._settle(unusable(work.task, answer.message, self._clock.unix_s()))
            self._count_rejection(work.task.index, answer.message)

    def _start(self, work: Work, place: Place) -> None:
        if work.sent_s is None:
            work.sent_s = place.started_s
        work.flying += 1
        timeout_s = deadline_s(self._policy.timeout_s, work.timeouts) if work.timeouts else None
        looks = place.scope.wants_headers(place.started_s)
        flight = Flight(work, place, self._clock.unix_s(), timeout_s, looks)
        self._flights[flight] = None
        if self._hedges is not None and work.flying == 1:
            self._hedges.started(flight)
        self.executor.start(flight, self._end)

    # Landing

    def _end(self, flight: Flight, outcome: Outcome | None, announced: Announced | None) -> None:
        """A call has ended, or was let go."""
        del self._flights[flight]
        flight.ended = True
        flight.work.flying -= 1
        try:
            if outcome is not None:
                self._land(flight, outcome, announced)
            elif not flight.given_up:
                self._lose(flight)
        except Exception as error:
            self.fail(error)
        if not flight.place.kept:
            self._gate.release(flight.place)
            self._pump_soon()
        elif not self._flights:
            self._tell(self._clock.monotonic_s())

    def _lose(self, flight: Flight) -> None:
        """A call was lost with the process that made it: as in a crash it may be billed, and its task goes again."""
        work, now_s = flight.work, self._clock.monotonic_s()
        self.losses.lose(flight.place, self._gate.give_up(flight.place, work, now_s))
        if work.flying == 0:
            self._queues.back_off(work, now_s)
        self._pump_soon()

    def _recorded(self, places: Sequence[Place]) -> None:
        for place in places:
            self._gate.release(place)
        self.pump()

    def _land(self, flight: Flight, outcome: Outcome, announced: Announced | None) -> None:
        work, place, now_s = flight.work, flight.place, self._clock.monotonic_s()
        if announced is not None:
            place.scope.learn_limits(announced, now_s)
        flown_s = now_s - place.started_s
        if self._hedges is not None and isinstance(outcome, Response):
            self._hedges.answered(max(flown_s, self._drop_copies(work, now_s)))
        money = self._gate.land(place, work, outcome, now_s)
        work.record(attempt_of(place.scope.lane, work, flight.started_at, flown_s * 1000, outcome, money), now_s)
        self.landed += 1
        if isinstance(outcome, Failure):
            self._after_failure(work, place, outcome, now_s)
            return
        self._reached = self.answered = True
        self._unsent_since_s = None
        self._answered_s = now_s
        self._settle_call(work, place, work.answered(outcome, self._gate.currency, self._clock.unix_s()))

    def _drop_copies(self, work: Work, now_s: float) -> float:
        """Drop the other copy of a hedged call, which may be billed as well; the seconds that it has taken, or 0."""
        if work.flying == 0:
            return 0.0
        longest_s = 0.0
        for other in self._flights:
            if other.work is work and not other.given_up:
                unknown_cost = self._give_up(other)
                flown_s = now_s - other.place.started_s
                longest_s = max(longest_s, flown_s)
                failure = Failure(Fault.AMBIGUOUS, "given up: another copy was answered first")
                attempt = attempt_of(
                    other.place.scope.lane, work, other.started_at, flown_s * 1000, failure, (None, unknown_cost)
                )
                work.record(msgspec.structs.replace(attempt, hedge=True), now_s)
        return longest_s

    def _settle_call(self, work: Work, place: Place, result: Result) -> None:
        work.settled = place.kept = True
        self._uncommitted[result.index] = place
        self._settle(result)

    def _after_failure(self, work: Work, place: Place, failure: Failure, now_s: float) -> None:
        self._note_contact(failure, now_s)
        self._gate.refuse(place, work, failure, now_s)
        if work.flying > 0:  # another copy may still be answered
            return
        work.tried = (*work.tried, place.scope)
        work.timeouts += failure.code in TIMEOUTS
        match decide(self._policy, failure, self._history(work, place.scope, now_s), self.draw()):
            case Retry(after_s):
                self._queues.back_off(work, now_s + after_s)
            case GiveUp():
                self._settle_call(work, place, work.failed(failure, self._gate.currency, self._clock.unix_s()))
                if failure.fault is Fault.REJECTED:
                    self._count_rejection(work.task.index, failure.message)
            case Pause(reason, hint, asked_s):
                reason = self._reason(reason, asked_s)
                self.losses.give_up(work.ambiguous, work.unknown_cost)
                refusals = self._gate.refusals(work.request.model, now_s)
                self.pause(paused_by(reason, hint, failure, place.scope.lane, refusals))

    def _reason(self, message: str, asked_s: float | None) -> str:
        return message if asked_s is None else asked_to_wait(message, asked_s, self._clock.unix_s())

    def _history(self, work: Work, scope: Scope, now_s: float) -> History:
        refused_at = work.refused_at(scope) if scope.serves(now_s) else []
        answered_s = scope.account.answered_sent_s
        return History(
            attempts=work.counted,
            ambiguous=work.ambiguous,
            throttled=work.tries.get(Fault.THROTTLED, 0),
            unsent=work.tries.get(Fault.UNSENT, 0),
            unsent_s=0.0 if self._unsent_since_s is None else now_s - self._unsent_since_s,
            reached=self._reached,
            down_s=work.down_s(now_s, self._answered_s),
            served=self._gate.serves(work.request.model, now_s),
            elsewhere=self._gate.has_untried(work, now_s),
            refused=len(refused_at),
            vouched=bool(refused_at) and answered_s is not None and answered_s > refused_at[0],
            known=answered_s is not None,
        )

    def _note_contact(self, failure: Failure, now_s: float) -> None:
        """Say so when the endpoint cannot be reached, once, and not only when the patience has run out."""
        if failure.fault is not Fault.UNSENT:
            self._reached, self._unsent_since_s = True, None
        elif self._unsent_since_s is None:
            self._unsent_since_s = now_s
            self.on_warning(f"{failure.message}; trying again for {self._policy.patience_for(self._reached):.0f} s.")

    def _count_rejection(self, index: int, message: str) -> None:
        trouble = self._first.reject(index, message)
        if trouble is not None and not self.answered:
            self.pause(trouble)

    # Waiting

    def _waiting_limit(self, now_s: float) -> int:
        return WAITING_PER_CALL * self._gate.limit(now_s) + MIN_FRESH

    def _tell(self, now_s: float) -> None:
        queues, low = self._queues, max(self._gate.limit(now_s), MIN_FRESH)
        room = queues.free < low and queues.fresh < HELD_FACTOR * low and queues.waiting < self._waiting_limit(now_s)
        if self.draining or room:
            self.low_on_tasks.set()
        else:
            self.low_on_tasks.clear()
        nothing_left = not (self._queues or self._more_to_come)
        if not self._flights and (self.draining or nothing_left):
            self.stopped.set()
