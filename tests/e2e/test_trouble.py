"""Providers as they are: they throttle, fail, go away and refuse keys, and no task is lost or bought for nothing."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from penstock.simulator import BackgroundSimulator, SimulatorSettings, running

if TYPE_CHECKING:
    from tests.e2e.conftest import Penstock

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600, func_only=True)]

KEY = "sk-the-right-one-12345678"


def command(sim: BackgroundSimulator, *words: str) -> list[str]:
    """The command of every run here."""
    options = ["--base-url", sim.base_url, "--model", "m", "--prompt", "{{ text }}", "-o", "out.jsonl"]
    return ["run", "tasks.jsonl", *options, *words]


def test_a_throttled_run_waits_as_asked_and_loses_nothing(penstock: Penstock, rows: Callable[[int], str]) -> None:
    """A limit far below the concurrency: every task is answered once, and none is sent while one was asked to wait."""
    penstock.write("tasks.jsonl", rows(60))
    with running(SimulatorSettings(rpm=1200, burst_s=1.0)) as sim:
        ended = penstock.run(*command(sim, "--concurrency", "30"))
        bill = sim.bill()

    assert ended.code == 0, ended.err
    assert (bill.billed, bill.bought_twice) == (60, 0)
    assert bill.throttled > 0
    assert bill.impolite == 0


@pytest.mark.parametrize(
    "fault",
    ["status=503", "status=529", "status=500", "status=429,retry_after=1", "reset=before"],
)
def test_a_burst_of_failures_is_waited_out(penstock: Penstock, rows: Callable[..., str], fault: str) -> None:
    """Every task fails at first and is answered at last, each bought once."""
    penstock.write("tasks.jsonl", rows(20, f"[[fault:{fault},times=1]]"))
    with running() as sim:
        ended = penstock.run(*command(sim, "--concurrency", "20"))

        assert ended.code == 0, ended.err
        assert (sim.bill().billed, sim.bill().bought_twice) == (20, 0)


@pytest.mark.parametrize("fault", ["reset=after", "reset=answer", "body=bad_json", "short_bytes=20", "status=502"])
def test_an_answer_that_does_not_arrive_is_asked_for_once_more(
    penstock: Penstock, rows: Callable[..., str], fault: str
) -> None:
    """And counted as possibly billed, which it was."""
    penstock.write("tasks.jsonl", rows(5, f"[[fault:{fault},times=1]]"))
    with running() as sim:
        ended = penstock.run(*command(sim))

        assert ended.code == 0, ended.err
        assert sim.bill().requests == 10
        assert penstock.verify().totals.unknown == 5 >= sim.bill().billed - 5


def test_an_answer_that_never_arrives_fails_after_the_second_time(penstock: Penstock, rows: Callable[..., str]) -> None:
    """What may have been billed twice is not asked for a third time."""
    penstock.write("tasks.jsonl", rows(5, "[[fault:reset=after]]"))
    with running() as sim:
        ended = penstock.run(*command(sim))

        assert ended.code == 1
        assert sim.bill().requests == 10
        assert "ambiguous" in ended.err


def test_a_provider_that_dies_and_comes_back_is_waited_for(penstock: Penstock, rows: Callable[[int], str]) -> None:
    """Nothing reaches it while it is away; when it is back the run goes on by itself, and every task is answered."""
    penstock.write("tasks.jsonl", rows(400))
    with running(SimulatorSettings(latency_ms=100)) as sim:
        process = penstock.start(*command(sim, "--concurrency", "20", "--json"))
        sim.wait_requests(50)
    away_since = wait_for_back_off(process, more_than=20)
    with running(port=urlsplit(sim.base_url).port or 0) as sim:
        process.communicate(timeout=300)

        assert process.returncode == 0
        assert penstock.verify().totals.ok == 400
        assert sim.bill().billed == 400 - away_since["totals"]["ok"]


def wait_for_back_off(process: subprocess.Popen[bytes], more_than: int) -> dict[str, Any]:
    """Return the first event that shows more tasks in back-off: more than can have been in flight at one time."""
    assert process.stdout is not None
    events = map(json.loads, process.stdout)
    return next(event for event in events if event["type"] == "progress" and event["waiting"] > more_than)


@pytest.mark.parametrize("wrong", [{}, {"OPENAI_API_KEY": "sk-the-wrong-one"}], ids=["none", "a wrong one"])
def test_a_key_that_is_refused_pauses_until_it_is_mended(
    penstock: Penstock, rows: Callable[[int], str], wrong: dict[str, str]
) -> None:
    """Exit 3 with words about the key; with the right one the same command does every task."""
    penstock.write("tasks.jsonl", rows(50))
    with running(SimulatorSettings(api_keys=(KEY,))) as sim:
        paused = penstock.run(*command(sim), environment=wrong)
        mended = penstock.run(*command(sim), environment={"OPENAI_API_KEY": KEY})

        assert (paused.code, mended.code) == (3, 0), paused.err
        assert "key" in paused.err
        assert "penstock run tasks.jsonl" in paused.err
        assert sim.bill().billed == 50


@pytest.mark.parametrize(
    ("fault", "words"),
    [("status=402", "Top up"), ("status=429,code=insufficient_quota", "quota"), ("status=404", "model")],
)
def test_trouble_with_the_account_is_not_the_tasks_fault(
    penstock: Penstock, rows: Callable[..., str], fault: str, words: str
) -> None:
    """The run pauses with exit 3, its tasks pending, and the same command goes on when the trouble is over."""
    penstock.write("tasks.jsonl", rows(10, f"[[fault:{fault},times=1]]"))
    with running() as sim:
        paused = penstock.run(*command(sim, "--concurrency", "10"))

        assert paused.code == 3
        assert words in paused.err
        assert penstock.verify().totals.failed == 0
        assert penstock.run(*command(sim, "--concurrency", "10")).code == 0
        assert (sim.bill().billed, sim.bill().bought_twice) == (10, 0)


def test_an_endpoint_that_is_not_there_pauses_the_run(penstock: Penstock, rows: Callable[[int], str]) -> None:
    """Nothing was sent, which is said with the address, and the tasks stay pending."""
    penstock.write("tasks.jsonl", rows(3))
    with running() as sim:
        away = command(sim, "--patience", "0.5")
    ended = penstock.run(*away)

    assert ended.code == 3
    assert "base URL" in ended.err
    assert penstock.verify().totals.pending == 3


def test_rejected_tasks_fail_with_the_providers_words(penstock: Penstock, rows: Callable[..., str]) -> None:
    """The others are answered, and what failed by class is said at the end."""
    refused = rows(2, "[[fault:status=400,message=Far too rude]]").replace("k", "r")
    penstock.write("tasks.jsonl", rows(5) + refused)
    with running() as sim:
        ended = penstock.run(*command(sim))

    assert ended.code == 1
    assert (penstock.folder / "out.failed.jsonl").read_text().count("Far too rude") >= 2
    assert "2 rejected" in ended.err


def test_quick_refusals_do_not_hide_slow_answers(penstock: Penstock, rows: Callable[..., str]) -> None:
    """Providers refuse at once and answer after seconds: a quarter of refused tasks is no reason to pause."""
    refused = rows(25, "[[fault:status=400]]").replace("k", "r")
    penstock.write("tasks.jsonl", rows(75) + refused)
    with running(SimulatorSettings(latency_ms=500)) as sim:
        ended = penstock.run(*command(sim))

        assert ended.code == 1, ended.err
        assert sim.bill().billed == 75
