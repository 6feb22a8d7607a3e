"""Runs without a network: a provider that is a function, sinks that are lists, and a folder for the journal."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from penstock.clock import Clock, ManualClock, Timer
from penstock.engine.allowance import Allowance
from penstock.engine.caps import Caps
from penstock.engine.connections import Connections
from penstock.engine.delivery import reader_of
from penstock.engine.gate import Gate
from penstock.engine.ledger import Ledger
from penstock.engine.run import Plan, execute
from penstock.engine.scopes import Scopes
from penstock.errors import SinkError, UsageError
from penstock.events import Finished, Observer
from penstock.models import Failure, Fault, HttpResponse, Result, Settled
from penstock.options import RunOptions
from penstock.policy.budget import Budget
from penstock.policy.flow import Flow
from penstock.pools import Pools, resolve_pools
from penstock.pricing import Pricing
from penstock.sinks.protocol import Cursor, Sink
from penstock.sinks.results import Results
from penstock.sources.iterables import IterableSource
from penstock.transport.fake import FunctionTransport, respond

HARD_LIMIT_S = 60.0
"""Nothing here takes a second; what takes this long hangs."""


class LeapingClock(ManualClock):
    """A clock on which time passes only by waiting: whoever waits is called at once, at the time he waited for."""

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """Leap there with the next turn of the loop, unless it is cancelled."""
        return asyncio.get_running_loop().call_soon(self._leap, self.monotonic_s() + delay_s, callback)

    def _leap(self, due_s: float, callback: Callable[[], None]) -> None:
        self.advance(max(0.0, due_s - self.monotonic_s()))
        callback()


def pools_of(config: dict[str, Any] | None = None) -> Pools:
    """One endpoint, or those of a configuration."""
    if config is None:
        return resolve_pools(None, "http://127.0.0.1/v1", {}, {}, need_key=False)
    return resolve_pools(None, None, {}, config, need_key=False)


Answer = HttpResponse | Failure
Script = Callable[[str, int], Answer | Awaitable[Answer]]
"""(prompt, attempt counted from 1) → what is answered, at once or awaited."""


def good(text: str = "yes") -> HttpResponse:
    """An answer that can be trusted."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 3, "completion_tokens": 2}
    return respond(200, json.dumps({"model": "m", "choices": [choice], "usage": usage}).encode())


def rejected(message: str = "no such field") -> Failure:
    """The failure of a task that can never succeed."""
    return Failure(Fault.REJECTED, message, 400)


class Provider:
    """Answers as its script says, and keeps count."""

    def __init__(self, script: Script = lambda prompt, attempt: good(f"answer to {prompt}")) -> None:
        self._script = script
        self._attempts: dict[str, int] = {}
        self._changed = asyncio.Condition()
        self.prompts: list[str] = []
        self.models: list[str] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self.answered = 0

    async def __call__(self, path: str, body: bytes) -> Answer:
        """One call."""
        asked = json.loads(body)
        prompt = asked["messages"][-1]["content"]
        attempt = self._attempts[prompt] = self._attempts.get(prompt, 0) + 1
        self.prompts.append(prompt)
        self.models.append(asked["model"])
        await self._count(+1)
        try:
            answer = self._script(prompt, attempt)
            return answer if isinstance(answer, HttpResponse | Failure) else await answer
        finally:
            await self._count(-1)

    async def until(self, condition: Callable[["Provider"], bool]) -> None:
        """Return once `condition` holds."""
        async with self._changed:
            await self._changed.wait_for(lambda: condition(self))

    async def _count(self, change: int) -> None:
        self.in_flight += change
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        self.answered += change < 0
        async with self._changed:
            self._changed.notify_all()


class Handed(list[Any]):
    """Rows that a source takes as many at a time as it asks for: those of a plain list come as its thread gets on."""

    async def __aiter__(self) -> AsyncIterator[Any]:
        """Give one row after the other, without a wait."""
        for row in self:
            yield row


class ListSink:
    """Takes a batch whole or not at all. With `refuse_after` it takes so many batches and refuses the next.

    `kept` is what an earlier one had; one that `forgets` wants everything again, and one that `refuses` never opens.
    """

    path: Path | None = None
    failed_path: Path | None = None

    def __init__(
        self,
        name: str = "list",
        *,
        refuse_after: int | None = None,
        kept: Sequence[Settled] = (),
        forgets: bool = False,
        refuses: bool = False,
    ) -> None:
        self.name = name
        self.refuses = refuses
        self.forgets = forgets
        self.refuse_after = refuse_after
        self.taken: list[Settled] = list(kept)
        self.batches = 0
        self.first_taken = asyncio.Event()
        self.finished: list[str] | None = None
        self.opened_with: Cursor | None = None
        self.closed = False

    @property
    def keys(self) -> list[str]:
        """Keys in the order in which they came."""
        return [settled.result.key for settled in self.taken]

    async def open(self, cursor: Cursor | None) -> Cursor:
        """Go on where it stood."""
        if self.refuses:
            raise UsageError("This is somebody else's file.")
        self.opened_with = cursor
        return {"seq": 0} if self.forgets or cursor is None else cursor

    async def deliver(self, batch: Sequence[Settled]) -> Cursor:
        """Take a batch."""
        await asyncio.sleep(0)
        if self.batches == self.refuse_after:
            raise SinkError("The list is full.", "Take a longer one.")
        self.batches += 1
        self.first_taken.set()
        self.taken.extend(batch)
        return {"seq": batch[-1].seq}

    async def finish(self, results: Results) -> Cursor:
        """Note every current result, in input order."""
        self.finished = [result.key for result in results.in_order()]
        return {"seq": self.taken[-1].seq if self.taken else 0}

    async def aclose(self) -> None:
        """Note that it was let go."""
        self.closed = True


class Runs:
    """Makes and does runs in one folder. What a module of tests needs besides, it finds here: it cannot import it."""

    provider = Provider
    sink = ListSink
    good = staticmethod(good)
    rejected = staticmethod(rejected)
    leaping_clock = LeapingClock
    hard_limit_s = HARD_LIMIT_S

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "run"

    def plan(
        self,
        rows: Any,
        provider: Callable[[str, bytes], Any],
        *,
        sinks: Sequence[Sink] = (),
        observers: Sequence[Observer] = (),
        retry_failures: bool = False,
        handle_signals: bool = False,
        **options: Any,
    ) -> Plan:
        """A run over rows (or a source, or None) with options; the model is "m" unless given.

        Of a list as many rows as its first chunk holds are taken before any is sent.
        """
        draw = options.pop("draw", random.random)
        pools = pools_of(options.pop("config", None))
        rows = Handed(rows) if isinstance(rows, list) else rows
        connect = options.pop("connect", None)
        pricing = options.pop("pricing", None) or Pricing.free()
        return Plan(
            folder=self.folder,
            options=RunOptions(**({"model": "m"} | options)),
            source=IterableSource(rows) if isinstance(rows, list | Iterator) else rows,
            sinks=sinks,
            pools=pools,
            connections=Connections(connect or (lambda endpoint, key: FunctionTransport(provider))),
            reload_pools=lambda: pools,
            pricing=pricing,
            observers=observers,
            retry_failures=retry_failures,
            handle_signals=handle_signals,
            draw=draw,
        )

    def gate(self, provider: Callable[[str, bytes], Any], concurrency: int) -> Gate:
        """A gate before one endpoint."""
        connections = Connections(lambda endpoint, key: FunctionTransport(provider))
        scopes = Scopes(pools_of(), connections, lambda endpoint: Flow(concurrency=concurrency))
        allowance = Allowance(concurrency, concurrency, lambda calls, amount: None)
        return Gate(scopes, Ledger(Pricing.free(), Budget(None)), allowance, random.random, Caps(concurrency))

    def run(
        self, rows: Any, provider: Callable[[str, bytes], Any], clock: Clock | None = None, **more: Any
    ) -> Finished:
        """Do a run to its end, which must come and leave no task behind."""

        async def work() -> Finished:
            return await self.execute(self.plan(rows, provider, **more), clock)

        return asyncio.run(work())

    async def execute(self, plan: Plan, clock: Clock | None = None) -> Finished:
        """The same on a loop that runs already. Waits take no time, unless there is a clock."""
        before = asyncio.all_tasks()
        async with asyncio.timeout(HARD_LIMIT_S):
            finished = await execute(plan, clock or LeapingClock())
        assert asyncio.all_tasks() <= before
        return finished

    def results(self) -> dict[str, Result]:
        """Every current result by its key, as the journal has it."""
        reader = reader_of(self.folder)
        try:
            return {result.key: result for result in reader.in_order()}
        finally:
            reader.close()

    def recall(self, name: str) -> Any:
        """A value of the journal."""
        reader = reader_of(self.folder)
        try:
            return reader.recall(name)
        finally:
            reader.close()


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    """Runs in a folder of their own."""
    return Runs(tmp_path)
