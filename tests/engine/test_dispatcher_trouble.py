"""What stops a run: the account, the first twenty rejections, exceptions that should not be, and whoever cancels it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from penstock.clock import ManualClock, SystemClock
from penstock.engine.dispatcher import Dispatcher
from penstock.engine.first_tasks import FIRST_TASKS
from penstock.engine.requests import Renderer
from penstock.events import Ending
from penstock.models import Failure, Fault, HttpResponse, Request, Result, Settled, Task
from penstock.options import RunOptions
from penstock.policy.retry import RetryPolicy

if TYPE_CHECKING:
    from tests.engine.conftest import Runs


@pytest.mark.parametrize(
    "failure",
    [
        Failure(Fault.ACCOUNT, "no credit left", 402),
        Failure(Fault.LOCAL, "the disk is full", code="disk_full"),
        Failure(Fault.THROTTLED, "come back tomorrow", 429, retry_after_s=80_000.0),
        Failure(Fault.OVERLOADED, "closed for repairs", 503, retry_after_s=80_000.0),
    ],
    ids=lambda failure: str(failure.fault),
)
def test_what_is_not_the_tasks_fault_pauses(runs: Runs, failure: Failure) -> None:
    """Every task stays pending, the reason and what to do are said, and the exit code is 3."""
    provider = runs.provider(lambda prompt, attempt: failure)
    finished = runs.run(["a", "b", "c"], provider, concurrency=1)
    assert (finished.ending, finished.exit_code) == (Ending.PAUSED, 3)
    assert (finished.totals.settled, finished.totals.pending) == (0, 3)
    assert failure.message in str(finished.reason)
    assert finished.hint
    assert provider.prompts == ["a"]
    assert runs.recall("ending")["reason"] == finished.reason


def test_the_first_reason_is_kept(runs: Runs) -> None:
    """What else fails on the way down does not hide why."""

    async def answer(prompt: str, attempt: int) -> Failure:
        await provider.until(lambda provider: len(provider.prompts) == 3 and provider.answered == int(prompt))
        return Failure(Fault.ACCOUNT, f"trouble {prompt}", 401)

    provider = runs.provider(answer)
    finished = runs.run(["0", "1", "2"], provider, concurrency=3)
    assert finished.reason == "trouble 0"


def test_a_pause_lets_what_flies_land_and_starts_nothing(runs: Runs) -> None:
    """What was sent is paid for: it is waited for and kept."""

    async def answer(prompt: str, attempt: int) -> HttpResponse | Failure:
        await provider.until(lambda provider: len(provider.prompts) >= 2)
        if prompt == "a":
            return Failure(Fault.ACCOUNT, "no credit", 402)
        await provider.until(lambda provider: provider.answered >= 1)
        return runs.good()

    provider = runs.provider(answer)
    finished = runs.run([*"abcdef"], provider, concurrency=2)
    assert provider.prompts == ["a", "b"]
    assert (finished.totals.ok, finished.totals.pending) == (1, 5)


def test_a_pause_waits_for_no_back_off(runs: Runs) -> None:
    """A task that would be due in a day does not keep the run from ending."""

    async def answer(prompt: str, attempt: int) -> Failure:
        await provider.until(lambda provider: len(provider.prompts) == 2)
        if prompt == "a":
            return Failure(Fault.OVERLOADED, "later", 503, retry_after_s=80_000.0)
        await provider.until(lambda provider: provider.answered == 1)
        return Failure(Fault.ACCOUNT, "no credit", 402)

    provider = runs.provider(answer)
    finished = runs.run(["a", "b"], provider, ManualClock(), concurrency=2, patience_s=90_000.0)
    assert (finished.reason, finished.totals.pending) == ("no credit", 2)


def script_of(runs: Runs, kinds: str) -> Any:
    """Answers by the index of the prompt: x is rejected, anything else is answered."""
    return lambda prompt, attempt: runs.rejected() if kinds[int(prompt)] == "x" else runs.good()


@pytest.mark.parametrize(
    ("kinds", "ending"),
    [
        ("x" * FIRST_TASKS, Ending.PAUSED),
        ("x" * (FIRST_TASKS - 1), Ending.FINISHED),
        ("x" * (FIRST_TASKS - 1) + "." + "x" * 50, Ending.FINISHED),
        ("." + "x" * 50, Ending.FINISHED),
    ],
    ids=["twenty", "nineteen", "nineteen and an answer", "an answer first"],
)
def test_when_the_first_tasks_are_all_rejected_the_run_pauses(runs: Runs, kinds: str, ending: Ending) -> None:
    """Twenty of twenty: then it is the template. One answer, and it is the tasks."""
    finished = runs.run([str(i) for i in range(len(kinds))], runs.provider(script_of(runs, kinds)), concurrency=1)
    assert finished.ending is ending
    assert finished.totals.failed == kinds.count("x")


def test_the_pause_quotes_the_last_rejection_and_leaves_the_rest_pending(runs: Runs) -> None:
    """The twenty are settled as failed; nobody else is sent."""
    provider = runs.provider(lambda prompt, attempt: runs.rejected(f"bad {prompt}"))
    finished = runs.run([str(i) for i in range(64)], provider, concurrency=1)
    assert (finished.totals.failed, finished.totals.pending) == (FIRST_TASKS, 64 - FIRST_TASKS)
    assert finished.reason == "The first 20 tasks were all rejected, the last with: bad 19"
    assert len(provider.prompts) == FIRST_TASKS


def test_rows_that_give_no_request_count_as_rejected(runs: Runs) -> None:
    """A template that names a wrong field burns no file either, and sends nothing."""
    provider = runs.provider()
    rows = [{"text": "x"}] * 1000
    finished = runs.run(rows, provider, prompt="Say {{ txet }}")
    assert (finished.ending, finished.totals.failed, provider.prompts) == (Ending.PAUSED, FIRST_TASKS, [])
    assert "needs `txet`" in str(finished.reason)


def test_rejections_pause_no_run_that_has_answers_already(runs: Runs) -> None:
    """Beginning anew, which the pause advises, would throw those away."""
    kinds = "." + "x" * 40
    rows = [str(i) for i in range(len(kinds))]
    runs.run(rows[:1], runs.provider(script_of(runs, kinds)))
    finished = runs.run(rows, runs.provider(script_of(runs, kinds)), concurrency=1)
    assert (finished.ending, finished.totals.failed) == (Ending.FINISHED, 40)


def test_an_exception_in_the_transport_ends_the_run_with_it(runs: Runs) -> None:
    """It is a defect: the run raises it, keeps what was settled, and the next one asks for the rest only."""

    async def answer(prompt: str, attempt: int) -> HttpResponse:
        if prompt == "b":
            raise ZeroDivisionError("b")
        return runs.good()

    with pytest.raises(ZeroDivisionError):
        runs.run([*"abc"], runs.provider(answer), concurrency=1)
    provider = runs.provider()
    finished = runs.run([*"abc"], provider)
    assert sorted(provider.prompts) == ["b", "c"]
    assert finished.totals.ok == 3


def test_calls_beside_an_exception_may_land(runs: Runs) -> None:
    """They are paid for."""

    async def answer(prompt: str, attempt: int) -> HttpResponse:
        await provider.until(lambda provider: len(provider.prompts) >= 2)
        if prompt == "b":
            raise ZeroDivisionError("b")
        await provider.until(lambda provider: provider.answered >= 1)
        return runs.good()

    provider = runs.provider(answer)
    with pytest.raises(ZeroDivisionError):
        runs.run([*"abc"], provider, concurrency=2)
    assert [*runs.results()] == ["0"]


def test_a_transport_that_cancels_its_own_call_ends_the_run(runs: Runs) -> None:
    """The run does not end as if all were well, with a task that nobody answered."""

    async def answer(prompt: str, attempt: int) -> HttpResponse:
        raise asyncio.CancelledError

    with pytest.raises(RuntimeError, match="cancelled a call"):
        runs.run(["a"], runs.provider(answer))


def test_cancelled_from_outside_it_gives_up_what_flies(runs: Runs) -> None:
    """It ends at once; what was settled is kept, what was given up is counted, and the next run does the rest."""

    async def answer(prompt: str, attempt: int) -> HttpResponse:
        if int(prompt) >= 5:
            await asyncio.Event().wait()
        return runs.good()

    async def work() -> None:
        provider = runs.provider(answer)
        run = asyncio.create_task(runs.execute(runs.plan([str(i) for i in range(30)], provider, concurrency=3)))
        await provider.until(lambda provider: provider.answered == 5 and provider.in_flight == 3)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(run, runs.hard_limit_s)

    asyncio.run(work())
    provider = runs.provider()
    finished = runs.run([str(i) for i in range(30)], provider)
    assert (finished.totals.ok, finished.totals.unknown) == (30, 3)
    assert len(provider.prompts) == 25


@pytest.mark.parametrize("turns", range(12))
def test_cancelled_at_any_moment_it_ends(runs: Runs, turns: int) -> None:
    """Opening, starting, answering: whenever it comes, nothing hangs and the run can be gone on with."""

    async def work() -> None:
        run = asyncio.create_task(runs.execute(runs.plan([*"abcdef"], runs.provider(), concurrency=2)))
        for _ in range(turns * turns * 4):
            await asyncio.sleep(0)
        run.cancel()
        await asyncio.wait_for(asyncio.gather(run, return_exceptions=True), runs.hard_limit_s)

    asyncio.run(work())
    assert runs.run([*"abcdef"], runs.provider()).totals.ok == 6


def test_ambiguous_attempts_of_tasks_that_stay_pending_are_disclosed(runs: Runs) -> None:
    """A task that waits for its second attempt when the run pauses may have been billed for the first."""

    async def answer(prompt: str, attempt: int) -> Failure:
        await provider.until(lambda provider: len(provider.prompts) == 3)
        if prompt != "trouble":
            return Failure(Fault.AMBIGUOUS, "the connection was lost", retry_after_s=600.0)
        await provider.until(lambda provider: provider.answered == 2)
        return Failure(Fault.ACCOUNT, "no credit", 402)

    provider = runs.provider(answer)
    finished = runs.run(["a", "b", "trouble"], provider, ManualClock(), concurrency=3)
    assert (finished.totals.pending, finished.totals.unknown) == (3, 2)


class BrokenRenderer(Renderer):
    """Makes requests until it meets the prompt "broken"."""

    def render(self, task: Task) -> Request:
        """The request of a task."""
        if task.data["prompt"] == "broken":
            raise RecursionError("too deep")
        return super().render(task)


def make_dispatcher(runs: Runs, concurrency: int = 1) -> Dispatcher:
    """A dispatcher whose results are committed at once, to nowhere."""
    renderer = BrokenRenderer(RunOptions(model="m"))

    def settle(result: Result) -> None:
        asyncio.get_running_loop().call_soon(dispatcher.committed, [Settled(1, result)])

    dispatcher = Dispatcher(runs.gate(runs.provider(), concurrency), renderer, RetryPolicy(), SystemClock(), settle)
    return dispatcher


def tasks(*prompts: str) -> list[Task]:
    """Tasks with these prompts."""
    return [Task(str(i), i, b"{}", {"prompt": prompt}, f"row {i}") for i, prompt in enumerate(prompts)]


def test_a_call_given_up_before_its_first_step_does_not_keep_the_run_waiting(runs: Runs) -> None:
    """Signals come at any moment, this one included."""

    async def work() -> None:
        dispatcher = make_dispatcher(runs, concurrency=3)
        dispatcher.add(tasks("a", "b", "c"))
        assert dispatcher.in_flight == 3
        dispatcher.cancel()
        await asyncio.wait_for(dispatcher.stopped.wait(), runs.hard_limit_s)
        assert (dispatcher.in_flight, dispatcher.unknown) == (0, 3)

    asyncio.run(work())


def test_giving_up_twice_counts_once(runs: Runs) -> None:
    """A second signal and whoever cancels the run may both ask for it."""

    async def work() -> None:
        dispatcher = make_dispatcher(runs, concurrency=3)
        dispatcher.add(tasks("a", "b", "c"))
        dispatcher.cancel()
        dispatcher.cancel()
        await asyncio.wait_for(dispatcher.stopped.wait(), runs.hard_limit_s)
        assert dispatcher.unknown == 3

    asyncio.run(work())


@pytest.mark.parametrize("prompts", [("broken",), ("a", "broken"), ("a", "b", "broken"), ("a", "b", "broken", "c")])
def test_an_exception_while_choosing_what_is_next_stops_the_run(runs: Runs, prompts: tuple[str, ...]) -> None:
    """Whatever led there, new tasks or a place that came free, it is not lost, and nobody waits for ever."""

    async def work() -> None:
        dispatcher = make_dispatcher(runs)
        dispatcher.add(tasks(*prompts))
        await asyncio.wait_for(dispatcher.stopped.wait(), runs.hard_limit_s)
        assert isinstance(dispatcher.defect, RecursionError)

    asyncio.run(work())


@pytest.mark.parametrize("concurrency", [20, "auto"])
def test_too_few_open_files_make_fewer_calls_fly_and_fail_nothing(runs: Runs, concurrency: int | str) -> None:
    """The calls that found none are sent again, free of charge, and the number that fits is kept."""
    room, refused = 6, 0

    async def answer(prompt: str, attempt: int) -> HttpResponse | Failure:
        nonlocal refused
        if provider.in_flight > room:
            refused += 1
            return Failure(Fault.UNSENT, "too many open files", code="too_many_files")
        await asyncio.sleep(0)
        return runs.good()

    provider = runs.provider(answer)
    finished = runs.run([str(number) for number in range(300)], provider, concurrency=concurrency)
    assert (finished.ending, finished.totals.ok, finished.totals.unknown) == (Ending.FINISHED, 300, 0)
    assert refused <= 100


def test_a_machine_that_opens_no_file_at_all_pauses_the_run(runs: Runs) -> None:
    """After the patience, with what to do."""
    provider = runs.provider(lambda prompt, attempt: Failure(Fault.UNSENT, "no files", code="too_many_files"))
    finished = runs.run(["a", "b"], provider, concurrency=2)
    assert (finished.ending, finished.totals.pending) == (Ending.PAUSED, 2)
    assert "ulimit -n" in str(finished.hint)
