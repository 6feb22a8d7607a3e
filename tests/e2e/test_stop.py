"""Stopping in three steps: the first signal finishes what flies, the second gives it up, the third leaves at once."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from penstock.simulator import BackgroundSimulator, SimulatorSettings, running

if TYPE_CHECKING:
    from tests.e2e.conftest import Penstock

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600, func_only=True)]

TASKS = 40
CONCURRENCY = 10
SLOW_AT_FIRST = "[[fault:delay_ms=60000,times=1]]"
SILENT_AT_FIRST = "[[fault:stall=head,times=1]]"
SIGNALS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)


def command(sim: BackgroundSimulator, output: str = "out.jsonl", concurrency: int = CONCURRENCY) -> list[str]:
    """The command of every run here."""
    words = ["run", "tasks.jsonl", "--base-url", sim.base_url, "--model", "m", "--prompt", "{{ text }}"]
    return [*words, "--concurrency", str(concurrency), "-o", output]


def wait_for_words(process: subprocess.Popen[bytes], words: str) -> None:
    """Return once the command has said this on standard error."""
    assert process.stderr is not None
    seen = []
    for line in process.stderr:
        seen.append(line.decode())
        if words in seen[-1]:
            return
    raise AssertionError(f"it ended without saying {words!r}: {seen}")


@SIGNALS
def test_the_first_signal_lets_calls_in_flight_finish(
    penstock: Penstock, rows: Callable[[int], str], number: signal.Signals
) -> None:
    """It exits with 130 and says how to go on; going on buys the rest, and not one task twice."""
    tasks = 500
    penstock.write("tasks.jsonl", rows(tasks))
    with running(SimulatorSettings(latency_ms=400)) as sim:
        process = penstock.start(*command(sim))
        sim.wait_requests(CONCURRENCY)
        process.send_signal(number)
        _, said = process.communicate(timeout=300)
        first = sim.bill()

        assert process.returncode == 130
        assert first.billed == first.requests == penstock.verify().totals.ok < tasks
        assert f"penstock {' '.join(command(sim)[:4])}" in said.decode()
        assert penstock.run(*command(sim, concurrency=tasks)).code == 0
        assert (sim.bill().billed, sim.bill().bought_twice) == (tasks, 0)


@SIGNALS
def test_the_second_signal_gives_up_what_is_in_flight(
    penstock: Penstock, rows: Callable[..., str], number: signal.Signals
) -> None:
    """It does not wait for the answers, counts them as possibly billed, and buys at most those again."""
    penstock.write("tasks.jsonl", rows(CONCURRENCY, SLOW_AT_FIRST).replace("k", "s") + rows(TASKS - CONCURRENCY))
    with running() as sim:
        process = penstock.start(*command(sim))
        sim.wait_requests(CONCURRENCY)
        process.send_signal(number)
        wait_for_words(process, "calls in flight may finish")
        process.send_signal(number)
        process.communicate(timeout=300)

        assert process.returncode == 130
        assert sim.bill().billed == 0
        assert penstock.verify().totals.unknown == CONCURRENCY
        assert penstock.run(*command(sim)).code == 0
        assert penstock.verify().totals.ok == TASKS
        assert sim.bill().billed <= TASKS + CONCURRENCY


@SIGNALS
def test_the_third_signal_exits_at_once(penstock: Penstock, rows: Callable[..., str], number: signal.Signals) -> None:
    """Even when a reader that does not read holds up the end; the same command then prints every answer."""
    penstock.write("tasks.jsonl", rows(TASKS - CONCURRENCY) + rows(CONCURRENCY, SILENT_AT_FIRST).replace("k", "s"))
    with running(SimulatorSettings(output_tokens=4000)) as sim:
        process = penstock.start(*command(sim, output="-"))
        sim.wait_requests(TASKS)
        while penstock.verify().totals.ok < TASKS - CONCURRENCY:
            continue
        process.send_signal(number)
        wait_for_words(process, "calls in flight may finish")
        process.send_signal(number)
        wait_for_words(process, "Giving up")
        process.send_signal(number)

        assert process.wait(timeout=300) == 130
        again = penstock.run(*command(sim, output="-"))
        assert again.code == 0
        assert len({json.loads(line)["key"] for line in again.out.splitlines()}) == TASKS
        assert sim.bill().billed <= TASKS + CONCURRENCY


@SIGNALS
def test_a_signal_while_outputs_are_put_in_order(
    penstock: Penstock, rows: Callable[[int], str], number: signal.Signals
) -> None:
    """Everything is bought by then: it ends well or as interrupted, and going on sends nothing."""
    tasks = 3000
    penstock.write("tasks.jsonl", rows(tasks))
    with running(SimulatorSettings(output_tokens=256)) as sim:
        process = penstock.start(*command(sim))
        sim.wait_requests(tasks)
        while process.poll() is None and not (penstock.folder / ".out.jsonl.tmp").exists():
            continue
        process.send_signal(number)
        process.communicate(timeout=300)

        assert process.returncode in (0, 130)
        assert penstock.run(*command(sim)).code == 0
        assert sim.bill().requests == tasks
        lines = (penstock.folder / "out.jsonl").read_text().splitlines()
        assert [json.loads(line)["key"] for line in lines] == [f"k{number}" for number in range(tasks)]
