"""One run, from opening everything in order to closing it in order.

    lock and journal → source → sinks → transport → signals → work → drain → sinks finish → journal ends

Nothing is sent before source and sinks are known to be good, so that bad usage costs nothing.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, nullcontext
from pathlib import Path
from typing import Any

import msgspec

from penstock.clock import Clock, SystemClock
from penstock.engine.admission import first_calls, make_allowance, make_caps, make_gate, make_scopes
from penstock.engine.answers import answer_of
from penstock.engine.carried import Carried
from penstock.engine.connections import Connections
from penstock.engine.control import serving
from penstock.engine.delivery import Delivery
from penstock.engine.dispatcher import Dispatcher
from penstock.engine.flight import Executor
from penstock.engine.hedges import Hedges
from penstock.engine.intake import Intake
from penstock.engine.ledger import Ledger
from penstock.engine.reopening import refuse_changes, refuse_early_retry, refuse_other_source
from penstock.engine.requests import Renderer
from penstock.engine.shutdown import Shutdown
from penstock.engine.steering import Steering
from penstock.errors import RunPaused
from penstock.events import Ending, Finished, Money, Notice, Observer, Snapshot, Started
from penstock.journal.folder import delete_run
from penstock.journal.journal import Journal
from penstock.models import Settled, Totals, Usage
from penstock.options import RunOptions
from penstock.policy.budget import Budget
from penstock.policy.hedging import Hedging
from penstock.policy.retry import RetryPolicy
from penstock.pools import Pools
from penstock.pricing import Pricing
from penstock.sinks.protocol import Sink
from penstock.sources.protocol import Source


class Plan(msgspec.Struct, frozen=True):
    """Everything a run is made of. `source` is None for `retry`, which works on failed tasks only.

    `remember` is kept in the journal for later commands.
    """

    folder: Path
    options: RunOptions
    source: Source | None
    sinks: Sequence[Sink]
    pools: Pools
    connections: Connections
    reload_pools: Callable[[], Pools]
    """Reads endpoints and keys again, from where `pools` came from."""
    pricing: Pricing
    observers: Sequence[Observer] = ()
    retry_failures: bool = False
    handle_signals: bool = False
    remember: dict[str, Any] = {}
    make_executor: Callable[[Dispatcher], Executor] | None = None
    """Makes what is to make the calls, where that is not this process."""
    draw: Callable[[], float] = random.random
    """Numbers in [0, 1) for the jitter of back-offs."""


async def execute(plan: Plan, clock: Clock | None = None) -> Finished:
    """Do the run, or go on with it. Raises `UsageError` before anything is sent; what pauses a run is in the return.

    Cancelled from outside it stops as the second signal does: what is in flight is given up, what is settled is kept.
    """
    run = _Run(plan, clock or SystemClock())
    async with run.stack:
        return await run.execute()


class _Run:
    def __init__(self, plan: Plan, clock: Clock) -> None:
        self.plan = plan
        self.clock = clock
        self.stack = AsyncExitStack()
        self.started_s = clock.monotonic_s()
        self.deliveries: list[Delivery] = []
        self.source_identity: dict[str, Any] | None = None
        self.interrupted = False
        self.retried: int | None = None
        self.background: set[asyncio.Task[None]] = set()

    async def execute(self) -> Finished:
        await self._open()
        self._notify(self._started())
        with self.shutdown.on_signals() if self.plan.handle_signals else nullcontext():
            async with serving(self.plan.folder, self.steering, self._warn):
                await self._work()
            await self._close_sinks()
            finished = self._finished()
            await self.journal.aclose(self._ending_record(finished))
        finished = self._finished()
        self._notify(finished)
        return finished

    def _ending_record(self, finished: Finished) -> dict[str, Any]:
        return {
            "ending": finished.ending,
            "reason": finished.reason,
            "larger": finished.larger,
            "anew": finished.anew,
            "at": self.clock.unix_s(),
            "exhausted": self.intake.exhausted,
        }

    async def _work(self) -> None:
        """From the first task to the last result that every sink has taken."""
        background = [asyncio.create_task(delivery.run()) for delivery in self.deliveries]
        intake = asyncio.create_task(self.intake.run())
        warm = asyncio.create_task(asyncio.to_thread(self._load_prices))
        timers = [asyncio.create_task(self._watch(observer)) for observer in self.plan.observers]
        try:
            await self._until_stopped([intake, *background])
            await self._hand_over(background)
        finally:
            if not self.dispatcher.stopped.is_set():
                self.dispatcher.cancel()
            self.journal.given_up = self.dispatcher.unknown
            self.journal.given_up_cost = self.dispatcher.unknown_cost
            for task in (intake, *background, *timers):
                task.cancel()
            await asyncio.gather(warm, intake, *background, *timers, *self.background, return_exceptions=True)
            await self.dispatcher.executor.aclose()
        if self.dispatcher.defect is not None:
            raise self.dispatcher.defect
        self.interrupted = self.dispatcher.draining

    # Opening

    async def _open(self) -> None:
        plan, options = self.plan, self.plan.options
        for observer in plan.observers:
            self.stack.callback(observer.close)
        self.stack.push_async_callback(plan.connections.aclose)
        if plan.source is not None:
            self.stack.push_async_callback(plan.source.aclose)
        renderer = Renderer(options)
        if options.fresh:
            await self._open_anew()
        self.journal = Journal(plan.folder, answer_of, options.durability, first_calls(options))
        self.stack.push_async_callback(self.journal.aclose)
        carried = Carried(self.journal, self.clock)
        if not plan.retry_failures:
            refuse_changes(self.journal, options)
        await self._open_source()
        await self._open_sinks()
        if plan.retry_failures:
            refuse_early_retry(self.journal)
            self.retried = self.journal.reopen_failures()
        # A session that is killed leaves no ending: a retry of a retry has only this to go by.
        self.journal.remember("exhausted", plan.retry_failures)
        for name, value in plan.remember.items():
            self.journal.remember(name, value)
        self.settled_before = self.journal.totals.settled
        self.answered_before = self.journal.totals.ok + self.journal.totals.partial
        self._make_gate(carried)
        self._make_dispatcher(renderer)
        self.journal.start()
        if plan.make_executor is not None:
            self.dispatcher.executor = plan.make_executor(self.dispatcher)
            self.stack.push_async_callback(self.dispatcher.executor.aclose)

    def _make_gate(self, carried: Carried) -> None:
        plan, options = self.plan, self.plan.options
        self.budget = Budget(options.budget, self.journal.totals.cost, self.journal.totals.unknown_cost)
        self.allowance = make_allowance(options, self._raise_allowance)
        ledger = Ledger(plan.pricing, self.budget)
        caps = make_caps(options)
        scopes = make_scopes(plan.pools, plan.connections, caps, carried)
        scopes.answered_before = self.journal.totals.ok + self.journal.totals.partial > 0
        self.gate = make_gate(scopes, caps, ledger, self.allowance, plan.draw, carried)

    def _make_dispatcher(self, renderer: Renderer) -> None:
        plan, options = self.plan, self.plan.options
        hedges = Hedges(Hedging()) if options.hedge else None
        policy = RetryPolicy(options.max_attempts, options.ambiguous, options.patience_s, options.timeout_s)
        self.dispatcher = Dispatcher(self.gate, renderer, policy, self.clock, self.journal.settle, hedges)
        self.dispatcher.on_warning = self.gate.on_warning = self._warn
        self.dispatcher.draw = plan.draw
        self.dispatcher.losses.record = self.journal.lose
        self.dispatcher.answered = self.journal.totals.ok + self.journal.totals.partial > 0
        self.shutdown = Shutdown(self._drain, self._cancel)
        self.steering = Steering(
            self.gate, self.dispatcher, self.shutdown, self.clock, plan.reload_pools, self._snapshot
        )
        self.intake = Intake(plan.source, self.journal, self.dispatcher, options.key, options.limit)
        self.journal.on_commit = self._offer
        self.journal.on_trouble = self.dispatcher.pause

    def _raise_allowance(self, calls: int, amount: float) -> None:
        task = asyncio.create_task(self._allow(calls, amount))
        self.background.add(task)
        task.add_done_callback(self.background.discard)

    async def _allow(self, calls: int, amount: float) -> None:
        try:
            await self.journal.allow(calls, amount)
        except RunPaused as trouble:
            self.dispatcher.pause(trouble)
        else:
            self.allowance.grant(calls, amount)
            self.dispatcher.pump()

    async def _open_anew(self) -> None:
        """Forget the earlier run, once the source of the new one is known to be good."""
        if self.plan.source is not None:
            self.source_identity = await self.plan.source.open(None)
        delete_run(self.plan.folder)

    async def _open_source(self) -> None:
        if (source := self.plan.source) is None:
            return
        # A source that was opened to begin anew stays open: rows of Python, or of a pipe, cannot be begun twice.
        identity = self.source_identity or await source.open(self.journal.position())
        refuse_other_source(self.journal, identity)
        self.journal.remember("source", identity)

    async def _open_sinks(self) -> None:
        for sink in self.plan.sinks:
            delivery = Delivery(sink, self.journal)
            self.stack.push_async_callback(delivery.aclose)
            await delivery.open()
            self.deliveries.append(delivery)

    # Working

    def _offer(self, batch: list[Settled]) -> None:
        for delivery in self.deliveries:
            delivery.offer(batch)
        self.dispatcher.committed(batch)

    async def _until_stopped(self, workers: list[asyncio.Task[None]]) -> None:
        """Until nothing is in flight or to be sent. A worker that dies of a full sink pauses the run."""
        stopped = asyncio.create_task(self.dispatcher.stopped.wait())
        waiting: set[asyncio.Task[Any]] = {stopped, *workers}
        while not stopped.done():
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stopped}:
                self._take_trouble(task)

    def _take_trouble(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            self.dispatcher.fail(RuntimeError("The source, or a sink, cancelled a run that nobody had given up."))
            return
        match task.exception():
            case None:
                return
            case RunPaused() as trouble:
                self.dispatcher.pause(trouble)
            case error:
                self.dispatcher.fail(error)

    async def _hand_over(self, deliveries: list[asyncio.Task[None]]) -> None:
        """Everything settled is committed, and brought to every sink that still takes it."""
        await self.journal.flush()
        for delivery, task in zip(self.deliveries, deliveries, strict=True):
            waiter = asyncio.create_task(delivery.caught_up())
            try:
                await asyncio.wait({waiter, task}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                waiter.cancel()
            if task.done():
                self._take_trouble(task)

    async def _close_sinks(self) -> None:
        for delivery in self.deliveries:
            try:
                if self._ending() is Ending.FINISHED:
                    await delivery.finish()
                await delivery.aclose()
            except RunPaused as trouble:
                self.dispatcher.pause(trouble)

    def _drain(self) -> None:
        in_flight = self.dispatcher.in_flight
        if in_flight:
            it = "it" if in_flight == 1 else "them"
            self._notify(
                Notice(f"Stopping: {_calls(in_flight)} in flight may finish. Press Ctrl-C again to give {it} up.")
            )
        self.dispatcher.drain()

    def _cancel(self) -> None:
        self._notify(Notice("Giving up what is in flight; it may be billed."))
        self.dispatcher.cancel()

    # Telling

    def _warn(self, message: str) -> None:
        self._notify(Notice(message, "warning"))

    def _load_prices(self) -> None:
        """Load the price list beside the first calls: it takes half a second, which the event loop cannot spare."""
        endpoint = self.plan.pools.endpoints[0]
        self.plan.pricing.cost(self.plan.options.model or "", Usage(1), endpoint.base_url)

    def _notify(self, event: Started | Notice | Snapshot | Finished) -> None:
        for observer in self.plan.observers:
            observer(event)

    async def _watch(self, observer: Observer) -> None:
        while True:
            observer(self._snapshot())
            await asyncio.sleep(observer.interval_s)

    def _started(self) -> Started:
        plan = self.plan
        return Started(
            run=plan.folder.name,
            source=plan.source.name if plan.source else "the failed tasks",
            outputs=tuple(sink.name for sink in plan.sinks),
            endpoint=", ".join(endpoint.name for endpoint in plan.pools.endpoints),
            base_url=plan.pools.endpoints[0].base_url,
            settled=self.settled_before,
        )

    def _snapshot(self) -> Snapshot:
        now_s = self.clock.monotonic_s()
        gate = self.gate.snapshot(now_s)
        return Snapshot(
            elapsed_s=self.clock.monotonic_s() - self.started_s,
            totals=self._totals(),
            total=self.intake.estimate_total(),
            before=self.settled_before,
            in_flight=gate.in_flight,
            waiting=self.dispatcher.waiting,
            limit=gate.limit,
            binds=f"stopping: {_calls(gate.in_flight)} may still land" if self.dispatcher.draining else gate.binds,
            responses=self.dispatcher.landed,
            money=self._money(),
            scopes=self.gate.scopes(now_s, self.clock.unix_s()),
            total_is_estimate=self.intake.total_is_estimate,
        )

    def _totals(self) -> Totals:
        """The totals in the currency of the run, which the journal learns with the first price."""
        totals = self.journal.totals
        return totals if totals.cost else msgspec.structs.replace(totals, currency=self.plan.pricing.currency)

    def _money(self) -> Money:
        totals, money = self.journal.totals, self.budget.snapshot()
        total = self.intake.estimate_total()
        projected = totals.cost / totals.settled * total if total and totals.settled else None
        return Money(
            self.plan.pricing.currency, totals.cost, money.reserved, totals.unknown_cost, projected, money.limit
        )

    def _ending(self) -> Ending:
        if self.dispatcher.trouble is not None:
            return Ending.PAUSED
        return Ending.INTERRUPTED if self.interrupted else Ending.FINISHED

    def _finished(self) -> Finished:
        trouble, totals = self.dispatcher.trouble, self._totals()
        return Finished(
            run=self.plan.folder.name,
            ending=self._ending(),
            totals=totals,
            elapsed_s=self.clock.monotonic_s() - self.started_s,
            home=str(self.plan.folder),
            outputs=tuple(sink.name for sink in self.plan.sinks),
            failed_outputs=self._failed_outputs(),
            reason=trouble.message if trouble else None,
            hint=trouble.hint if trouble else None,
            larger=trouble.larger if trouble else None,
            anew=trouble.anew if trouble else False,
            retried=self.retried,
            succeeded=totals.ok + totals.partial - self.answered_before,
            set_live=tuple(self.steering.set_live),
        )

    def _failed_outputs(self) -> tuple[str, ...]:
        paths = [sink.failed_path for sink in self.plan.sinks]
        return tuple(str(path) for path in paths if path is not None and Path(path).exists())


def _calls(number: int) -> str:
    return "1 call" if number == 1 else f"{number} calls"
