"""Workers that die: their calls count as in flight at a crash, others take their seats, or the run says why not."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from penstock.clock import Clock, ManualClock, SystemClock
from penstock.engine.dispatcher import Dispatcher
from penstock.engine.processes.executor import LAST_CHANCE_S, ProcessExecutor
from penstock.engine.processes.process import COMMAND
from penstock.engine.processes.seat import MOST_FILLS, SLACK_S, START_S
from penstock.engine.run import Plan, execute
from penstock.events import Ending, Event, Finished, Notice
from penstock.journal.folder import JOURNAL_FILE
from penstock.journal.verify import verify
from penstock.launch import make_workers
from penstock.simulator import BackgroundSimulator, SimulatorSettings, running

if TYPE_CHECKING:
    from tests.engine.conftest import Runs

HARD_LIMIT_S = 60.0
SILENT_AT_FIRST = "[[fault:stall=head,times=1]]"
SILENT = "[[fault:stall=head]]"


class Watched:
    """A run in worker processes, what it says, and its workers."""

    interval_s = 3600.0

    def __init__(self, runs: Runs, sim: BackgroundSimulator, rows: Iterable[str], **options: object) -> None:
        config = {"endpoints": {"sim": {"base_url": sim.base_url}}, "models": {"*": {"endpoints": ["sim"]}}}
        plan = runs.plan(list(rows), runs.provider(), config=config, observers=[self], **options)  # type: ignore[arg-type]
        self._plan: Plan = msgspec.structs.replace(plan, make_executor=self._make)
        self._heard = asyncio.Event()
        self._executor: ProcessExecutor | None = None
        self.clock: Clock = SystemClock()
        self.said: list[str] = []
        self.dispatcher: Dispatcher | None = None

    def _make(self, dispatcher: Dispatcher) -> ProcessExecutor:
        self.dispatcher = dispatcher
        count = self._plan.options.processes
        assert isinstance(count, int)
        self._executor = make_workers(count, self._plan.options, [], dispatcher, dispatcher.pause, self.clock)
        return self._executor

    def __call__(self, event: Event) -> None:
        """Note what it says."""
        if isinstance(event, Notice):
            self.said.append(event.message)
            self._heard.set()

    def close(self) -> None:
        """Nothing is held."""

    @property
    def pids(self) -> list[int]:
        """Its workers of the moment."""
        assert self._executor is not None
        return self._executor.pids

    async def until_said(self, count: int) -> None:
        """Return once it has said so much."""
        while len(self.said) < count:
            self._heard.clear()
            await self._heard.wait()

    @asynccontextmanager
    async def started(self) -> AsyncIterator[asyncio.Task[Finished]]:
        """The run as a task, which is over at the end of the block and has left no process."""
        async with asyncio.timeout(HARD_LIMIT_S):
            run = asyncio.create_task(execute(self._plan, SystemClock()))
            try:
                yield run
            finally:
                run.cancel()
                await asyncio.gather(run, return_exceptions=True)
            assert self.pids == []


async def requests(sim: BackgroundSimulator, count: int) -> None:
    """Return once so many requests have come."""
    await asyncio.to_thread(sim.wait_requests, count)


def is_gone(pid: int) -> bool:
    """Whether there is no such process, not even one that nobody has waited for."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize("ambiguous", ["never", "once"])
def test_calls_of_a_worker_that_is_killed_are_made_again_and_counted(runs: Runs, ambiguous: str) -> None:
    """All of its calls and no other, whatever may be sent again after an ambiguous end."""

    async def work() -> None:
        with running() as sim:
            rows = [f"{SILENT_AT_FIRST} {number}" for number in range(10)]
            watched = Watched(runs, sim, rows, concurrency=10, processes=2, ambiguous=ambiguous, max_attempts=1)
            async with watched.started() as run:
                for killed in (0, 1):
                    await requests(sim, 10 + 5 * killed)
                    pid = watched.pids[killed]
                    os.kill(pid, signal.SIGKILL)
                    await watched.until_said(killed + 1)
                    assert "was killed by SIGKILL. 5 calls that were in flight may have been billed" in watched.said[-1]
                    assert is_gone(pid)
                totals = (await run).totals
            assert (totals.ok, totals.unknown) == (10, 10)
            assert verify(runs.folder / JOURNAL_FILE).problems == []
            assert sim.bill().requests == 20

    asyncio.run(work())


def test_the_last_worker_is_replaced_before_anything_else_is_sent(runs: Runs) -> None:
    """Tasks wait for it, and none fails or is lost."""

    async def work() -> None:
        with running(SimulatorSettings(latency_ms=1)) as sim:
            watched = Watched(runs, sim, map(str, range(500)), concurrency=20, processes=1)
            async with watched.started() as run:
                await requests(sim, 100)
                os.kill(watched.pids[0], signal.SIGKILL)
                finished = await run
            assert (finished.ending, finished.totals.ok, finished.totals.failed) == (Ending.FINISHED, 500, 0)
            assert sim.bill().billed - 500 <= finished.totals.unknown <= 20

    asyncio.run(work())


def test_a_worker_that_dies_again_and_again_pauses_the_run(runs: Runs) -> None:
    """With the reason; the tasks stay pending, and what was lost is counted."""

    async def work() -> None:
        with running() as sim:
            watched = Watched(runs, sim, [f"{SILENT} {number}" for number in range(4)], concurrency=4, processes=1)
            async with watched.started() as run:
                for death in range(MOST_FILLS):
                    await requests(sim, 4 * (death + 1))
                    os.kill(watched.pids[0], signal.SIGKILL)
                finished = await run
            assert (finished.ending, finished.totals.pending) == (Ending.PAUSED, 4)
            assert finished.totals.unknown == 4 * MOST_FILLS
            assert "within a minute: it was killed by SIGKILL" in str(finished.reason)
            assert "--processes" in str(finished.hint)

    asyncio.run(work())


@pytest.mark.parametrize("stop", [signal.SIGSTOP, None], ids=["held up", "well"])
def test_a_run_that_is_cancelled_leaves_no_worker(runs: Runs, stop: signal.Signals | None) -> None:
    """Not even one that hears nothing."""

    async def work() -> list[int]:
        with running() as sim:
            watched = Watched(runs, sim, [f"{SILENT} {number}" for number in range(6)], concurrency=6, processes=3)
            async with watched.started() as run:
                await requests(sim, 6)
                pids = watched.pids
                for pid in pids[:2] if stop else []:
                    os.kill(pid, signal.SIGSTOP)
                run.cancel()
                await asyncio.gather(run, return_exceptions=True)
            assert verify(runs.folder / JOURNAL_FILE).totals.unknown == 6
            return pids

    pids = asyncio.run(work())
    assert len(pids) == 3
    assert all(map(is_gone, pids))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_signals_that_stop_a_run_stop_no_worker(runs: Runs, number: signal.Signals) -> None:
    """They reach every process of a group or a container, and calls may still finish."""

    async def work() -> None:
        with running(SimulatorSettings(latency_ms=1)) as sim:
            watched = Watched(runs, sim, map(str, range(300)), concurrency=10, processes=2)
            async with watched.started() as run:
                await requests(sim, 50)
                for pid in watched.pids:
                    os.kill(pid, number)
                finished = await run
            assert (finished.totals.ok, finished.totals.unknown, watched.said) == (300, 0, [])

    asyncio.run(work())


def test_a_worker_that_cannot_be_started_pauses_the_run(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nothing is sent, and nothing counts as billed."""
    monkeypatch.setattr("penstock.engine.processes.process.COMMAND", (str(tmp_path / "no-such-python"),))
    finished, said = _run_one(runs)
    assert (finished.ending, finished.totals.settled, finished.totals.unknown) == (Ending.PAUSED, 0, 0)
    assert "cannot be started: No such file or directory" in str(finished.reason)
    assert said == []


def test_a_worker_that_dies_at_once_pauses_the_run_with_its_last_words(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as what it could not import."""
    script = "echo a first line >&2; echo ModuleNotFoundError: no penstock >&2; exit 7"
    monkeypatch.setattr("penstock.engine.processes.process.COMMAND", ("sh", "-c", script))
    finished, said = _run_one(runs)
    assert (finished.ending, finished.totals.settled, finished.totals.unknown) == (Ending.PAUSED, 0, 0)
    assert "never became ready: it ended with exit code 7: ModuleNotFoundError: no penstock" in str(finished.reason)
    assert said == []


def test_a_worker_that_is_held_up_is_killed_and_replaced(runs: Runs) -> None:
    """Once nothing has come from it for the deadline of its oldest call and some more."""

    async def work() -> None:
        with running() as sim:
            rows = [f"{SILENT_AT_FIRST} {number}" for number in range(5)]
            watched = Watched(runs, sim, rows, concurrency=5, processes=1, timeout_s=500.0)
            watched.clock = clock = ManualClock()
            async with watched.started() as run:
                await requests(sim, 5)
                (held,) = watched.pids
                os.kill(held, signal.SIGSTOP)
                clock.advance(499 + SLACK_S)
                assert watched.pids == [held]
                clock.advance(1 + LAST_CHANCE_S)
                await watched.until_said(1)
                assert "was killed, for nothing had come from it for 5" in watched.said[0]
                assert "5 calls that were in flight may have been billed" in watched.said[0]
                assert is_gone(held)
                totals = (await run).totals
            assert (totals.ok, totals.unknown, sim.bill().requests) == (5, 5, 10)

    asyncio.run(work())


def test_workers_that_are_never_ready_pause_the_run(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The second in a row is enough: a run does not stand still for ever."""
    begun = tmp_path / "begun"
    os.mkfifo(begun)
    monkeypatch.setattr("penstock.engine.processes.process.COMMAND", ("sh", "-c", f"echo > '{begun}'; kill -STOP $$"))

    async def work() -> Finished:
        with running() as sim:
            watched = Watched(runs, sim, ["one"], processes=1)
            watched.clock = clock = ManualClock()
            async with watched.started() as run:
                for _ in range(2):
                    await asyncio.to_thread(begun.read_text)
                    clock.advance(START_S + LAST_CHANCE_S)
                    await watched.until_said(1)
                return await run

    finished = asyncio.run(work())
    assert (finished.ending, finished.totals.unknown) == (Ending.PAUSED, 0)
    assert "never became ready" in str(finished.reason)


def test_a_worker_that_is_never_ready_is_killed_and_replaced(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nothing was sent by it, so nothing is lost."""
    begun = tmp_path / "begun"
    os.mkfifo(begun)
    script = f"echo > '{begun}'; kill -STOP $$"

    async def work() -> None:
        with running() as sim:
            watched = Watched(runs, sim, ["one"], processes=1)
            watched.clock = clock = ManualClock()
            with monkeypatch.context() as patch:
                patch.setattr("penstock.engine.processes.process.COMMAND", ("sh", "-c", script))
                async with watched.started() as run:
                    await asyncio.to_thread(begun.read_text)
                    patch.undo()
                    clock.advance(START_S + LAST_CHANCE_S)
                    totals = (await run).totals
            assert (totals.ok, totals.unknown, sim.bill().requests) == (1, 0, 1)
            assert "nothing had come from it" in watched.said[0]

    asyncio.run(work())


def test_a_run_begins_once_one_worker_is_ready(runs: Runs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Another that is held up at its start holds up nothing but its own calls."""
    monkeypatch.setattr("penstock.engine.processes.process.COMMAND", _one_of_two_stops(tmp_path))

    async def work() -> None:
        with running() as sim:
            watched = Watched(runs, sim, [f"{SILENT} {number}" for number in range(2)], concurrency=2, processes=2)
            async with watched.started():
                await requests(sim, 1)
                assert len(watched.pids) == 2

    asyncio.run(work())


def _one_of_two_stops(folder: Path) -> tuple[str, ...]:
    command = " ".join(f"'{word}'" for word in COMMAND)
    return "sh", "-c", f"mkdir '{folder}/first' 2>/dev/null && kill -STOP $$; exec {command}"


def _run_one(runs: Runs) -> tuple[Finished, list[str]]:
    async def work() -> tuple[Finished, list[str]]:
        with running() as sim:
            watched = Watched(runs, sim, ["one"], processes=2)
            async with watched.started() as run:
                return await run, watched.said

    return asyncio.run(work())
