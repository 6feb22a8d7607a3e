"""The same command run again: what a provider asked for, and the limits of a minute, outlive the process."""

import asyncio
import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest

from penstock.clock import ManualClock
from penstock.engine.answers import answer_of
from penstock.engine.carried import Carried
from penstock.events import Ending
from penstock.journal.folder import JOURNAL_FILE
from penstock.journal.journal import Journal
from penstock.policy.changes import Changes
from penstock.policy.rate import Limits, Rate
from penstock.transport.fake import respond


class Wall:
    """The clock of a machine: virtual, and the same for one process after the other. It can be set otherwise."""

    def __init__(self, leaping: Any) -> None:
        self.clock = leaping
        self.set_s = 0.0
        self._unix_s = self.clock.unix_s
        self.clock.unix_s = lambda: self._unix_s() + self.set_s


class Asking:
    """A provider that asks once to be left alone, and notes when each call came."""

    def __init__(self, clock: ManualClock, good: Any, asked: str | None) -> None:
        self._clock, self._good, self._asked = clock, good, asked
        self.called_s: list[float] = []

    async def __call__(self, path: str, body: bytes) -> Any:
        """One call."""
        self.called_s.append(self._clock.monotonic_s())
        if self._asked is None:
            return self._good()
        asked, self._asked = self._asked, None
        headers = {"retry-after": asked}
        return respond(429, json.dumps({"error": {"message": "wait"}}).encode(), headers)


@pytest.fixture
def wall(runs: Any) -> Wall:
    """A machine's clock."""
    return Wall(runs.leaping_clock())


def test_a_wait_that_was_asked_for_is_waited_out_by_the_next_process(runs: Any, wall: Wall) -> None:
    """The first gives up waiting; the second has the patience, and sends nothing before."""
    provider = Asking(wall.clock, runs.good, "120")
    first = runs.run([{"prompt": "a"}], provider, wall.clock, patience_s=60.0)
    assert first.ending is Ending.PAUSED
    asked_s = provider.called_s[0]
    second = runs.run([{"prompt": "a"}], provider, wall.clock, patience_s=900.0)
    assert second.ending is Ending.FINISHED
    assert provider.called_s[1] >= asked_s + 120


def test_who_has_no_patience_is_told_so_again_and_nothing_is_sent(runs: Any, wall: Wall) -> None:
    """Waiting in silence for hours is not what was asked for."""
    provider = Asking(wall.clock, runs.good, "7200")
    for minutes in (120, 110):
        paused = runs.run([{"prompt": "a"}], provider, wall.clock, patience_s=60.0)
        assert paused.ending is Ending.PAUSED
        assert paused.exit_code == 3
        assert "asks to wait" in paused.reason
        assert len(provider.called_s) == 1, minutes
        wall.clock.advance(600.0)
    wall.clock.advance(7_200.0)
    assert runs.run([{"prompt": "a"}], provider, wall.clock, patience_s=60.0).ending is Ending.FINISHED


@pytest.mark.parametrize("set_s", [-86_400.0 * 400, -3_600.0])
def test_a_clock_that_was_set_back_makes_no_wait_longer(runs: Any, wall: Wall, set_s: float) -> None:
    """Than it was asked for."""
    provider = Asking(wall.clock, runs.good, "120")
    runs.run([{"prompt": "a"}], provider, wall.clock, patience_s=60.0)
    wall.set_s = set_s
    runs.run([{"prompt": "a"}], provider, wall.clock)
    assert 120 <= provider.called_s[1] - provider.called_s[0] <= 140


def test_another_key_need_not_wait(runs: Any, wall: Wall) -> None:
    """The account behind it was never told to."""
    provider = Asking(wall.clock, runs.good, "7200")
    endings = []
    for secret in ("sk-first", "sk-second"):
        endpoint = {"base_url": "http://127.0.0.1/v1", "api_key": secret}
        config = {"endpoints": {"e": endpoint}, "models": {"*": {"endpoints": ["e"]}}}
        endings.append(runs.run([{"prompt": "a"}], provider, wall.clock, patience_s=60.0, config=config).ending)
    assert endings == [Ending.PAUSED, Ending.FINISHED]
    assert provider.called_s[1] - provider.called_s[0] < 1


def test_a_run_without_limits_does_not_read_its_last_minute(runs: Any, wall: Wall) -> None:
    """At thousands of calls a second that would hold up the first request. Here it could not even be read."""
    runs.run([{"prompt": "a"}], Asking(wall.clock, runs.good, None), wall.clock)
    with sqlite3.connect(runs.folder / JOURNAL_FILE) as database:
        database.execute("UPDATE results SET record = x'00'")
    database.close()
    journal = Journal(runs.folder, answer_of)
    carried = Carried(journal, wall.clock)
    carried.restore_run(Rate(Limits(), False, Changes()), Limits())
    with pytest.raises(msgspec.MsgspecError):
        carried.restore_run(Rate(Limits(), False, Changes()), Limits(rpm=10))
    asyncio.run(journal.aclose())


def fullest_minute(called_s: list[float]) -> int:
    """The most calls that any minute holds."""
    return max(sum(end - 60 < one <= end for one in called_s) for end in called_s)


@pytest.mark.parametrize("limits", [{"rpm": 30}, {"config_rpm": 30}])
def test_a_limit_of_calls_holds_over_the_minute_in_which_one_process_follows_another(
    runs: Any, wall: Wall, limits: dict[str, int]
) -> None:
    """Of the run, and of an endpoint; also when the first one had none."""
    endpoint = {"base_url": "http://127.0.0.1/v1"} | ({"rpm": 30} if "config_rpm" in limits else {})
    config = {"endpoints": {"e": endpoint}, "models": {"*": {"endpoints": ["e"]}}}
    options = {name: value for name, value in limits.items() if name == "rpm"} | {"config": config}
    provider = Asking(wall.clock, runs.good, None)
    rows = [{"prompt": str(number)} for number in range(60)]
    for taken in (20, 40, 60):
        runs.run(rows[:taken], provider, wall.clock, **options)
        wall.clock.advance(1.0)
    assert len(provider.called_s) == 60
    assert fullest_minute(provider.called_s) <= 30


def test_a_limit_holds_from_the_first_moment_for_what_was_sent_without_one(runs: Any, wall: Wall) -> None:
    """The provider counts what it gets, whatever the command was."""
    provider = Asking(wall.clock, runs.good, None)
    rows = [{"prompt": str(number)} for number in range(41)]
    runs.run(rows[:40], provider, wall.clock)
    runs.run(rows, provider, wall.clock, rpm=40)
    assert provider.called_s[40] - provider.called_s[0] >= 60


def test_a_limit_of_tokens_holds_over_two_processes(runs: Any, wall: Wall) -> None:
    """What was used in the last minute counts: here five tokens a call."""
    provider = Asking(wall.clock, runs.good, None)
    rows = [{"prompt": str(number), "params": {"max_tokens": 2}} for number in range(30)]
    for taken in (10, 20, 30):
        runs.run(rows[:taken], provider, wall.clock, tpm=600)
    calls = provider.called_s
    assert max(5 * sum(end - 60 < one <= end for one in calls) for end in calls) <= 600


def test_calls_in_flight_when_a_process_was_killed_count(runs: Any, wall: Wall, tmp_path: Path) -> None:
    """They were sent, and no result tells of them."""
    provider = Asking(wall.clock, runs.good, None)
    rows = [{"prompt": str(number)} for number in range(30)]
    left = tmp_path / "left"

    async def killed() -> None:
        """What a process that is killed now leaves behind stands in a copy of its folder."""
        hanging = runs.provider(lambda prompt, attempt: asyncio.Event().wait())
        task = asyncio.create_task(runs.execute(runs.plan(rows, hanging, concurrency=10), wall.clock))
        await hanging.until(lambda provider: provider.in_flight == 10)
        shutil.copytree(runs.folder, left, ignore=shutil.ignore_patterns("*.sock"))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(killed())
    runs.folder = left
    begun_s = wall.clock.monotonic_s()
    runs.run(rows, provider, wall.clock, rpm=12)
    assert sum(one < begun_s + 59 for one in provider.called_s) <= 2
