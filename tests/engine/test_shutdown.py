"""Stopping in steps. What the third does, and signals to the installed program, are seen in tests/e2e."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from penstock.clock import ManualClock
from penstock.engine.shutdown import Shutdown
from penstock.events import Ending, Event, Finished, Notice
from penstock.models import Failure, Fault, HttpResponse

if TYPE_CHECKING:
    from tests.engine.conftest import Provider, Runs

SIGNALS = [signal.SIGINT, signal.SIGTERM]


def test_the_first_request_drains_and_the_second_cancels() -> None:
    """Each once, in this order."""
    steps: list[str] = []
    shutdown = Shutdown(lambda: steps.append("drain"), lambda: steps.append("cancel"))
    shutdown.request()
    assert (steps, shutdown.requests) == (["drain"], 1)
    shutdown.request()
    assert (steps, shutdown.requests) == (["drain", "cancel"], 2)


@pytest.mark.parametrize("number", SIGNALS)
def test_signals_ask_only_inside_the_block(number: signal.Signals) -> None:
    """Afterwards they do what they did before."""
    before = signal.getsignal(number)

    async def work() -> None:
        asked = asyncio.Event()
        with Shutdown(asked.set, asked.clear).on_signals():
            signal.raise_signal(number)
            await asyncio.wait_for(asked.wait(), 20)

    asyncio.run(work())
    # asyncio leaves the default handlers of Python behind it, which are what a program begins with.
    assert signal.getsignal(number) in (before, signal.default_int_handler, signal.SIG_DFL)


class Notices:
    """Keeps what a person is told besides progress."""

    interval_s = 100.0

    def __init__(self) -> None:
        self.messages: list[str] = []

    def __call__(self, event: Event) -> None:
        """Keep a notice."""
        if isinstance(event, Notice):
            self.messages.append(event.message)

    def close(self) -> None:
        """Nothing is held."""


class Story:
    """A run of ten rows, two at a time, whose calls wait for `release`; and what was said."""

    def __init__(self, runs: Runs) -> None:
        self.release = asyncio.Event()
        self.notices = Notices()
        self.provider = runs.provider(self.answer)
        self._runs = runs

    async def answer(self, prompt: str, attempt: int) -> HttpResponse | Failure:
        """A good one, when it may."""
        await self.release.wait()
        return self._runs.good()

    def tell(self, steps: Callable[[Provider], object]) -> Finished:
        """Start it, do `steps` once two calls are in flight, and wait for its end."""

        async def work() -> Finished:
            rows = [str(i) for i in range(10)]
            plan = self._runs.plan(rows, self.provider, concurrency=2, observers=[self.notices], handle_signals=True)
            run = asyncio.create_task(self._runs.execute(plan))
            await self.provider.until(lambda provider: provider.in_flight == 2)
            steps(self.provider)
            return await run

        return asyncio.run(work())


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_lets_calls_in_flight_land(runs: Runs, number: signal.Signals) -> None:
    """They are kept, nothing more is sent, and the same run goes on later."""
    story = Story(runs)

    def stop(provider: Provider) -> None:
        signal.raise_signal(number)
        asyncio.get_running_loop().call_later(0.05, story.release.set)

    finished = story.tell(stop)
    assert (finished.ending, finished.exit_code) == (Ending.INTERRUPTED, 130)
    assert (finished.totals.ok, finished.totals.unknown) == (2, 0)
    assert story.notices.messages == ["Stopping: 2 calls in flight may finish. Press Ctrl-C again to give them up."]
    later = runs.provider()
    assert runs.run([str(i) for i in range(10)], later).totals.ok == 10
    assert len(later.prompts) == 8


def test_the_second_signal_gives_up_what_flies(runs: Runs) -> None:
    """At once; it is counted as possibly billed, and stays pending."""
    story = Story(runs)

    def stop_twice(provider: Provider) -> None:
        for _ in range(2):
            signal.raise_signal(signal.SIGINT)

    finished = story.tell(stop_twice)
    assert (finished.ending, finished.totals.ok, finished.totals.unknown) == (Ending.INTERRUPTED, 0, 2)
    assert story.notices.messages[-1] == "Giving up what is in flight; it may be billed."


def test_a_signal_waits_for_no_back_off(runs: Runs) -> None:
    """A provider that asked for ten minutes does not hold Ctrl-C up."""
    asked = Failure(Fault.THROTTLED, "slow down", 429, retry_after_s=600.0)
    provider = runs.provider(lambda prompt, attempt: asked)

    async def work() -> None:
        plan = runs.plan(["a", "b"], provider, handle_signals=True)
        run = asyncio.create_task(runs.execute(plan, ManualClock()))
        await provider.until(lambda provider: provider.answered >= 1)
        signal.raise_signal(signal.SIGINT)
        finished = await run
        assert (finished.ending, finished.totals.pending) == (Ending.INTERRUPTED, 2)

    asyncio.run(work())


def test_a_signal_while_a_sink_is_slow_waits_for_it(runs: Runs) -> None:
    """What is settled is delivered; the run was done but for that, so it ends as interrupted and resumes to nothing."""
    sink = runs.sink()
    provider = runs.provider()

    async def work() -> None:
        plan = runs.plan(["a", "b"], provider, sinks=[sink], handle_signals=True)
        run = asyncio.create_task(runs.execute(plan))
        await provider.until(lambda provider: provider.answered == 2)
        signal.raise_signal(signal.SIGINT)
        await run

    asyncio.run(work())
    assert sorted(sink.keys) == ["0", "1"]
    again = runs.provider()
    assert runs.run(["a", "b"], again).ending is Ending.FINISHED
    assert again.prompts == []
