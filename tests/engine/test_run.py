"""A run over several processes' lives: going on, refusing, beginning anew, retrying."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from penstock.engine.run import execute
from penstock.errors import RunChanged, RunLocked, SourceError, TemplateError, UsageError
from penstock.events import Ending, Event, Finished, Snapshot, Started
from penstock.journal.folder import JOURNAL_FILE
from penstock.journal.verify import verify
from penstock.models import Failure, Fault, HttpResponse, Position, Status
from penstock.pricing import Price, Pricing
from penstock.sources.iterables import IterableSource

if TYPE_CHECKING:
    from tests.engine.conftest import Runs

ROWS = [str(i) for i in range(10)]
ACCOUNT = Failure(Fault.ACCOUNT, "no credit", 402)


def test_after_a_pause_it_goes_on_without_asking_twice(runs: Runs) -> None:
    """The second time only what is pending is sent, and the journal is sound."""
    first = runs.provider(lambda prompt, attempt: runs.good() if int(prompt) < 4 else ACCOUNT)
    assert runs.run(ROWS, first, concurrency=1).ending is Ending.PAUSED
    second = runs.provider()
    finished = runs.run(ROWS, second, concurrency=1)
    assert (finished.ending, finished.exit_code, finished.totals.ok) == (Ending.FINISHED, 0, 10)
    assert second.prompts == ROWS[4:]
    assert verify(runs.folder / JOURNAL_FILE).problems == []


def test_a_finished_run_sends_nothing(runs: Runs) -> None:
    """However often it is started."""
    runs.run(ROWS, runs.provider())
    provider = runs.provider()
    assert runs.run(ROWS, provider).totals.ok == 10
    assert provider.prompts == []


def test_rows_that_were_added_at_the_end_are_done_too(runs: Runs) -> None:
    """The others are skipped by their number."""
    runs.run(ROWS, runs.provider())
    provider = runs.provider()
    assert runs.run([*ROWS, "new"], provider).totals.ok == 11
    assert provider.prompts == ["new"]


def test_failures_are_not_sent_again_by_themselves(runs: Runs) -> None:
    """They are settled; exit code 1 says that there are some."""
    runs.run(ROWS, runs.provider(lambda prompt, attempt: runs.rejected() if prompt == "3" else runs.good()))
    provider = runs.provider()
    finished = runs.run(ROWS, provider)
    assert (finished.exit_code, finished.totals.failed, provider.prompts) == (1, 1, [])


@pytest.mark.parametrize(
    ("option", "then", "now", "shown"),
    [
        ("model", "m", "large", 'model: "m" then, "large" now'),
        ("prompt", None, "Say {{ prompt }}", 'prompt: null then, "Say {{ prompt }}" now'),
        ("system", "a", "b", 'system: "a" then, "b" now'),
        ("param", {"seed": 1}, {"seed": 2}, 'param: {"seed":1} then, {"seed":2} now'),
        ("api", "chat", "responses", 'api: "chat" then, "responses" now'),
        ("key", None, "prompt", 'key: null then, "prompt" now'),
    ],
)
def test_changed_options_are_refused_with_the_difference(
    runs: Runs, option: str, then: Any, now: Any, shown: str
) -> None:
    """Whatever shapes requests or keys. The run is as it was."""
    runs.run(ROWS, runs.provider(), **{option: then})
    provider = runs.provider()
    with pytest.raises(RunChanged) as caught:
        runs.run(ROWS, provider, **{option: now})
    assert shown in caught.value.message
    assert caught.value.message.count(" then, ") == 1
    assert provider.prompts == []
    assert runs.run(ROWS, provider, **{option: then}).totals.ok == 10


def test_what_does_not_shape_requests_may_change(runs: Runs) -> None:
    """Concurrency, patience, time-outs and the limit."""
    runs.run(ROWS, runs.provider(), limit=3)
    finished = runs.run(ROWS, runs.provider(), limit=7, concurrency=3, timeout_s=5.0, max_attempts=9, ambiguous="never")
    assert finished.totals.ok == 7


class NamedSource(IterableSource):
    """Rows that say what they are."""

    def __init__(self, rows: list[str], identity: str) -> None:
        super().__init__(rows)
        self._identity = identity

    async def open(self, position: Position | None) -> dict[str, Any]:
        """Stand at `position`."""
        await super().open(position)
        return {"kind": self._identity}


def test_another_source_is_refused(runs: Runs) -> None:
    """Its rows would be mixed with the first one's. Both are shown."""
    runs.run(NamedSource(ROWS, "apples"), runs.provider())
    provider = runs.provider()
    with pytest.raises(RunChanged, match=r'"apples"\} then, \{"kind":"pears"\} now'):
        runs.run(NamedSource(ROWS, "pears"), provider)
    assert provider.prompts == []


def test_a_source_that_became_shorter_is_refused(runs: Runs) -> None:
    """Then it is not the one that the run began with."""
    runs.run(ROWS, runs.provider())
    with pytest.raises(SourceError, match="ended 2 rows before"):
        runs.run(ROWS[:8], runs.provider())


class Taken(IterableSource):
    """Rows that somebody else reads already."""

    async def open(self, position: Position | None) -> dict[str, Any]:
        """Refuse."""
        raise SourceError("Somebody else reads this.")


@pytest.mark.parametrize("what", ["options", "template", "source", "sink"])
def test_a_refused_run_leaves_no_session(runs: Runs, what: str) -> None:
    """It is not counted as one that was killed, nothing was sent, and the lock is free."""
    provider = runs.provider(lambda prompt, attempt: ACCOUNT if provider.prompts[1:] else runs.good())
    runs.run(ROWS, provider, concurrency=1)
    refused: dict[str, dict[str, Any]] = {
        "options": {"model": "large"},
        "template": {"prompt": "{{ a"},
        "source": {"rows": Taken([])},
        "sink": {"sinks": [runs.sink(refuses=True)]},
    }
    given: dict[str, Any] = {"rows": ROWS, "provider": provider}
    with pytest.raises(UsageError):
        runs.run(**given | refused[what])
    assert len(provider.prompts) == 2
    assert runs.recall("session") is None
    finished = runs.run(ROWS, runs.provider())
    assert (finished.totals.ok, finished.totals.unknown) == (10, 0)


def test_a_run_that_took_nothing_is_free_to_change(runs: Runs) -> None:
    """Neither its options nor its source bind anybody."""
    runs.run(NamedSource([], "apples"), runs.provider(), model="small", prompt="{{ a }}")
    finished = runs.run(NamedSource(ROWS, "pears"), runs.provider(), model="large")
    assert finished.totals.ok == 10
    assert {result.model for result in runs.results().values()} == {"m"}


def test_fresh_forgets_the_earlier_run(runs: Runs) -> None:
    """Other options, another source, and everything is sent."""
    runs.run(NamedSource(ROWS, "apples"), runs.provider())
    provider = runs.provider()
    finished = runs.run(NamedSource(ROWS[:3], "pears"), provider, model="large", fresh=True)
    assert (finished.totals.accepted, provider.prompts, provider.models) == (3, ROWS[:3], ["large"] * 3)


def test_fresh_forgets_nothing_for_a_source_that_is_not_good(runs: Runs) -> None:
    """The earlier answers are still there."""

    class Missing(IterableSource):
        async def open(self, position: Position | None) -> dict[str, Any]:
            raise SourceError("It does not exist.")

    runs.run(ROWS, runs.provider())
    with pytest.raises(SourceError):
        runs.run(Missing([]), runs.provider(), fresh=True)
    assert len(runs.results()) == 10


def test_fresh_forgets_nothing_for_a_template_that_is_not_good(runs: Runs) -> None:
    """The earlier answers are still there."""
    runs.run(ROWS, runs.provider())
    with pytest.raises(TemplateError):
        runs.run(ROWS, runs.provider(), fresh=True, prompt="{{ a")
    assert len(runs.results()) == 10


def test_retry_sends_what_failed_with_other_options(runs: Runs) -> None:
    """Another model may be named; answers take the place of failures, and everything else is as it was."""
    flaky = runs.provider(lambda prompt, attempt: runs.rejected() if prompt in "36" else runs.good("first"))
    runs.run(ROWS, flaky)
    provider = runs.provider(lambda prompt, attempt: runs.good("second") if prompt == "3" else runs.rejected("still"))
    finished = runs.run(None, provider, retry_failures=True, model="large")
    assert sorted(provider.prompts) == ["3", "6"]
    assert provider.models == ["large"] * 2
    assert (finished.totals.ok, finished.totals.failed, finished.totals.pending) == (9, 1, 0)
    results = runs.results()
    assert (results["3"].text, results["3"].status, results["0"].text) == ("second", Status.OK, "first")
    assert results["6"].failure is not None
    assert results["6"].failure.message == "still"
    assert verify(runs.folder / JOURNAL_FILE).problems == []


def test_after_a_retry_the_run_goes_on_with_its_own_options(runs: Runs) -> None:
    """What the retry used is not what the run is held to."""
    runs.run(ROWS[:5], runs.provider(lambda prompt, attempt: runs.rejected() if prompt == "3" else runs.good()))
    runs.run(None, runs.provider(), retry_failures=True, model="large")
    provider = runs.provider()
    assert runs.run(ROWS, provider, model="m").totals.ok == 10
    assert provider.prompts == ROWS[5:]


def test_a_retry_takes_what_is_pending_and_reads_nothing_new(runs: Runs) -> None:
    """Once the source was read to its end, a task that was taken before a pause is done too."""
    runs.run(ROWS[:4], runs.provider(lambda prompt, attempt: ACCOUNT), concurrency=1, limit=4)
    provider = runs.provider()
    assert runs.run(None, provider, retry_failures=True).totals.ok == 4
    assert sorted(provider.prompts) == ROWS[:4]


def test_a_retry_before_the_source_was_read_is_refused(runs: Runs) -> None:
    """It would pass for the whole, with the rest never sent."""
    rows = [str(number) for number in range(2000)]
    runs.run(rows, runs.provider(lambda prompt, attempt: ACCOUNT), concurrency=1)
    with pytest.raises(UsageError, match="too early"):
        runs.run(None, runs.provider(), retry_failures=True)


def test_a_retry_that_is_refused_leaves_the_failures_as_they_are(runs: Runs) -> None:
    """They are still failures, not tasks that nobody works on."""
    runs.run(ROWS, runs.provider(lambda prompt, attempt: runs.rejected() if prompt == "3" else runs.good()))
    with pytest.raises(UsageError):
        runs.run(None, runs.provider(), retry_failures=True, sinks=[runs.sink(refuses=True)])
    assert runs.results()["3"].status is Status.FAILED


def test_a_run_without_rows_ends_well(runs: Runs) -> None:
    """There was nothing to do, and it was done."""
    sink = runs.sink()
    finished = runs.run([], runs.provider(), sinks=[sink])
    assert (finished.ending, finished.totals.accepted, sink.finished) == (Ending.FINISHED, 0, [])


def test_a_second_run_in_the_folder_is_refused_meanwhile(runs: Runs) -> None:
    """And the first goes on undisturbed."""

    async def work() -> None:
        release = asyncio.Event()

        async def hold(prompt: str, attempt: int) -> HttpResponse:
            await release.wait()
            return runs.good()

        provider = runs.provider(hold)
        run = asyncio.create_task(runs.execute(runs.plan(["a"], provider)))
        await provider.until(lambda provider: provider.in_flight == 1)
        for fresh in (False, True):
            with pytest.raises(RunLocked):
                await execute(runs.plan(["a"], provider, fresh=fresh))
        release.set()
        assert (await run).totals.ok == 1

    asyncio.run(work())


class Watcher:
    """Keeps what it is told."""

    interval_s = 0.01

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.closed = False

    def __call__(self, event: Event) -> None:
        """Keep it."""
        self.events.append(event)

    def close(self) -> None:
        """Note the end."""
        self.closed = True


def test_observers_hear_the_beginning_and_the_end(runs: Runs) -> None:
    """First what will be done, last how it ended, and between them counts that add up."""
    watcher = Watcher()
    finished = runs.run(ROWS, runs.provider(), observers=[watcher], sinks=[runs.sink()])
    first, *between, last = watcher.events
    assert isinstance(first, Started)
    assert (first.run, first.source, first.outputs, first.settled) == ("run", "rows", ("list",), 0)
    assert last == finished
    assert isinstance(last, Finished)
    assert all(isinstance(event, Snapshot) and event.totals.pending >= 0 for event in between)
    assert watcher.closed


@pytest.mark.parametrize("options", [{"prompt": "{{ a"}, {"model": "other"}])
def test_observers_are_closed_however_it_ends(runs: Runs, options: dict[str, Any]) -> None:
    """Before anything began, too: a live display would hold the terminal."""
    runs.run(ROWS, runs.provider())
    watcher = Watcher()
    with pytest.raises(UsageError):
        runs.run(ROWS, runs.provider(), observers=[watcher], **options)
    assert watcher.closed
    assert watcher.events == []


def test_a_run_goes_on_where_it_was_taken_to(runs: Runs, tmp_path: Path) -> None:
    """Its folder is all there is to it."""
    runs.run(ROWS, runs.provider(lambda prompt, attempt: ACCOUNT if prompt == "5" else runs.good()), concurrency=1)
    runs.folder = runs.folder.rename(tmp_path / "elsewhere")
    provider = runs.provider()
    assert runs.run(ROWS, provider).totals.ok == 10
    assert provider.prompts == ROWS[5:]


def test_a_budget_that_is_used_up_says_which_option_has_to_be_larger(runs: Runs) -> None:
    """In the ending, and in the journal for `penstock status`."""
    pricing = Pricing({"m": Price(1e6, 1e6)})
    finished = runs.run(ROWS, runs.provider(), concurrency=1, budget=1.0, pricing=pricing, param={"max_tokens": 5})
    assert (finished.ending, finished.larger) == (Ending.PAUSED, "--budget")
    assert runs.recall("ending")["larger"] == "--budget"


def test_the_journal_is_for_its_user_alone(runs: Runs) -> None:
    """Prompts and answers stand in it; the write-ahead log as well, while it works."""
    modes: list[int] = []

    def look(prompt: str, attempt: int) -> HttpResponse:
        modes.extend(path.stat().st_mode & 0o777 for path in runs.folder.glob("journal.db*"))
        return runs.good()

    runs.run(ROWS[:1], runs.provider(look))
    assert len(modes) >= 2
    assert set(modes) == {0o600}
